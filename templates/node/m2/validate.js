/** Looks at each line of the log before anything learns from it: what is wrong is counted, never dropped in silence. */
import { fields } from "./company.js";

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{3,9})?)?$/;
const WATCH = /^GET \/data\/m\/([a-z0-9.\-*_+]+)\/(\d+)\.mpg$/;
const RATE = /^GET \/rate\/([a-z0-9.\-*_+]+)=(\d+)$/;
// The most stars that a viewer can give. Yours to raise where the company's scale is another.
const MOST_STARS = 5;

/** Returns what is wrong with a line, or null. Lines that are neither watched nor rated are not looked into. */
export function fault(line, users, movies) {
  const parts = fields(line);
  if (parts === null) return "fields";
  const [time, user, request] = parts;
  if (!TIME.test(time)) return "time";
  if (!/^[0-9]+$/.test(user)) return "user";
  if (!request.startsWith("GET /data/") && !request.startsWith("GET /rate/")) return null;
  const found = WATCH.exec(request) ?? RATE.exec(request);
  if (found === null) return "request";
  if (!users.has(Number(user))) return "unknown user";
  if (!movies.has(found[1])) return "unknown movie";
  const stars = Number(found[2]);
  if (request.startsWith("GET /rate/") && !(stars >= 1 && stars <= MOST_STARS)) return "stars";
  return null;
}

/** Returns the lines that are as they should be, and a count of what is wrong with the others; a line that comes twice is one. */
export function clean(lines, users, movies) {
  const good = [];
  const counts = {};
  const seen = new Set();
  for (const line of lines) {
    const wrong = seen.has(line) ? "duplicate" : fault(line, users, movies);
    seen.add(line);
    if (wrong === null) good.push(line);
    else counts[wrong] = (counts[wrong] ?? 0) + 1;
  }
  return { good, counts };
}
