// Tells what failed, and counts in its last line.
import { inspect } from "node:util";

export default async function* report(events) {
  const counts = { "test:pass": 0, "test:fail": 0 };
  for await (const { type, data } of events) {
    if (!(type in counts) || data.nesting > 0) continue;
    counts[type] += 1;
    if (type === "test:fail") yield `FAILED ${data.name}\n${inspect(data.details.error.cause ?? data.details.error)}\n\n`;
  }
  yield `${counts["test:pass"]} passed, ${counts["test:fail"]} failed\n`;
}
