"""Reads DHCP answers, a JSON list of lists of bytes, with a parser that knows nothing of bootdepot, and prints what is wrong with them."""

import json
import sys

from scapy.layers.dhcp import BOOTP, DHCP

wrong = 0
for answer in json.loads(sys.argv[1]):
    packet = BOOTP(bytes(answer))
    errors = []
    if packet.op != 2:
        errors.append("it is no answer")
    if DHCP not in packet:
        errors.append("it has no options")
    else:
        options = packet[DHCP].options
        # An option is a name with its values, or a mark such as "end"; bytes are a rest that could not be parsed.
        errors += [f"not parsed: {option!r}" for option in options if isinstance(option, bytes)]
        names = [option if isinstance(option, str) else option[0] for option in options if not isinstance(option, bytes)]
        if names.count("end") != 1:
            errors.append("it has no end, or several")
        else:
            end = names.index("end")
            if any(name != "pad" for name in names[end + 1 :]):
                errors.append("options follow the end")
            before = names[:end]
            for name in set(before) - {"pad"}:
                if before.count(name) != 1:
                    errors.append(f"{name} comes {before.count(name)} times")
            if "relay_agent_information" in before and before[-1] != "relay_agent_information":
                errors.append("option 82 is not the last")
    for error in errors:
        wrong += 1
        print(f"{error}: {packet.summary()}: {packet.show(dump=True)}")
sys.exit(wrong > 0)
