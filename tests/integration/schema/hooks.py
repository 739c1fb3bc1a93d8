"""Path parameters that schemathesis cannot know: names and numbers that exist on the server under test."""

import zlib

import schemathesis

KNOWN = {
    "/api/v1/assets/": ["okd/1/kernel", "okd/1/initrd", "okd/2/kernel", "lost"],
    "/api/v1/releases/": ["okd-1", "okd-2"],
    "/api/v1/hosts/": ["r630-01", "02:00:00:00:00:02", "127.0.0.1"],
    "/api/v1/jobs/": [1, 2, 3],
}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Replaces about half of the generated parameters by known ones. The generated value decides which, so that a run is repeatable."""
    path = context.operation.path
    for prefix, known in KNOWN.items():
        if path.startswith(prefix):
            for name, value in (path_parameters or {}).items():
                choice = zlib.crc32(str(value).encode("utf-8", "surrogatepass"))
                if choice % 2:
                    path_parameters[name] = known[choice // 2 % len(known)]
    return path_parameters
