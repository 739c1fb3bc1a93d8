//! How much memory there is: of the machine, or of the control group that the process runs in.

use std::path::Path;

/// The smallest default, in bytes: a thousand connections with one piece each.
const LEAST: u64 = 64 << 20;

/// The largest default, in bytes: more makes no client faster.
const MOST: u64 = 1 << 30;

/// The default budget in bytes: an eighth of the memory that the process may use.
pub fn default_total() -> usize {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| memory_of_machine(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let files = control_group_files(&groups);
    let groups = files.iter().filter_map(|path| read(Path::new(path))?.trim().parse().ok());
    let memory: u64 = groups.chain(machine).min().unwrap_or_default();
    usize::try_from((memory / 8).clamp(LEAST, MOST)).unwrap_or(usize::MAX)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn memory_of_machine(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The files with the limits of the process's control groups, from the innermost to the root. `groups` is the text of
/// `/proc/self/cgroup` (cgroups(7)); a file that has no number ("max") or is missing sets no limit.
fn control_group_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        files.extend(Path::new(path).ancestors().map(|group| {
            let group = group.to_string_lossy();
            format!("{root}{}/{file}", group.trim_end_matches('/'))
        }));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_all_control_groups_count() {
        assert_eq!(
            control_group_files("0::/system.slice/bootdepot.service\n"),
            [
                "/sys/fs/cgroup/system.slice/bootdepot.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            control_group_files("8:pids:/x\n4:memory:/x\n"),
            ["/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
    }

    #[test]
    fn default_is_within_its_bounds() {
        assert_eq!(memory_of_machine("MemTotal:       24684012 kB\nMemFree: 1 kB\n"), Some(24_684_012 * 1024));
        assert!((64 << 20..=1 << 30).contains(&default_total()));
    }
}
