import assert from "node:assert/strict";
import { test } from "node:test";

import { hostTable, matchesIdentity } from "../../src/admin/dashboard/identity.js";
import { host, identity } from "./samples.js";

const machine = host({
  identity: identity({
    macs: ["24:6e:96:00:00:01", "24:6e:96:00:00:02"],
    addresses: ["192.0.2.7", "2001:db8::7"],
    uuid: "4c4c4544-0042-3110-8043-b2c04f564232",
    serial: 'ABC"1234',
    asset_tag: "Rack 7",
  }),
});

test("search finds every spelling", () => {
  for (const text of ["24-6e-96-00-00-02", "246e.9600.0001", "246e96", "96:00:00:0", "4c4c454400423110", "{4c4c4544-0042"]) {
    assert.equal(matchesIdentity(text, machine), true, text);
  }
  for (const text of ["abc", "rack", "192.0.2", "db8::7", ""]) assert.equal(matchesIdentity(text, machine), true, text);
  for (const text of ["24:6e:97", "246e.9601", "192.0.3", "96.0.0.0", "x"]) {
    assert.equal(matchesIdentity(text, machine), false, text);
  }
});

test("host table is configuration", () => {
  assert.equal(
    hostTable(machine),
    `[[host]]
name = "abc-1234"
match = { mac = ["24:6e:96:00:00:01", "24:6e:96:00:00:02"], serial = "ABC\\"1234", uuid = "4c4c4544-0042-3110-8043-b2c04f564232" }
# profile = "NAME"
`,
  );
  const named = host({ name: "r630-07", profile: "worker", identity: identity({ macs: ["24:6e:96:00:00:07"] }) });
  assert.equal(
    hostTable(named),
    '[[host]]\nname = "r630-07"\nmatch = { mac = ["24:6e:96:00:00:07"] }\nprofile = "worker"\n',
  );
});
