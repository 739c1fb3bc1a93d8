// The identity of a host: the search for it in any spelling, and its table in the configuration.

import { matches } from "./table.js";

/**
 * Whether a text of a search field is part of anything that a host was seen with. MACs and UUIDs may have any separators.
 *
 * @param {string} text In lower case.
 * @param {Pick<Api.Host, "identity">} host
 */
export function matchesIdentity(text, { identity }) {
  const { macs, addresses, uuid, serial, asset_tag, hostname } = identity;
  if (matches(text, [...macs, ...addresses, uuid, serial, asset_tag, hostname])) return true;
  // An IPv4 address is no MAC, whose groups of four have dots.
  const digits = /^(\d{1,3}\.)+\d{0,3}$/.test(text) ? "" : text.replace(/[-:.{}]/g, "");
  return digits.length > 3 && matches(digits, [...macs, uuid].map((value) => value?.replace(/[-:]/g, "")));
}

/**
 * The table of the configuration that makes a machine a host.
 *
 * @param {Api.Host} host
 */
export function hostTable({ name, profile, identity }) {
  const { macs, serial, uuid, hostname } = identity;
  // JSON's strings are strings of TOML: no text of a machine has a control character.
  const keys = [
    macs.length > 0 ? `mac = [${macs.map((mac) => JSON.stringify(mac)).join(", ")}]` : null,
    serial ? `serial = ${JSON.stringify(serial)}` : null,
    uuid ? `uuid = ${JSON.stringify(uuid)}` : null,
  ];
  const suggested = [name, hostname, serial, macs[0], uuid].find(Boolean) ?? "";
  const label = suggested.toLowerCase().replace(/[^a-z0-9.]+/g, "-").replace(/^-|-$/g, "");
  return [
    "[[host]]",
    `name = ${JSON.stringify(name ?? label)}`,
    `match = { ${keys.filter(Boolean).join(", ")} }`,
    profile ? `profile = ${JSON.stringify(profile)}` : '# profile = "NAME"',
    "",
  ].join("\n");
}
