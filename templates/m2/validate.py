"""Looks at each line of the log before anything learns from it: what is wrong is counted, never dropped in silence."""
import collections
import re

TIME = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{3,9})?)?$")
WATCH = re.compile(r"^GET /data/m/([a-z0-9.\-*_+]+)/(\d+)\.mpg$")
RATE = re.compile(r"^GET /rate/([a-z0-9.\-*_+]+)=(\d+)$")
# The most stars that a viewer can give. Yours to raise where the company's scale is another.
MOST_STARS = 5


def fault(line, users, movies):
    """Returns what is wrong with a line, or None. Lines that are neither watched nor rated are not looked into."""
    parts = line.split(",", 2)
    if len(parts) != 3:
        return "fields"
    time, user, request = parts
    if not TIME.match(time):
        return "time"
    if not user.isascii() or not user.isdigit():
        return "user"
    if not request.startswith(("GET /data/", "GET /rate/")):
        return None
    found = WATCH.match(request) or RATE.match(request)
    if not found:
        return "request"
    if int(user) not in users:
        return "unknown user"
    if found[1] not in movies:
        return "unknown movie"
    if request.startswith("GET /rate/") and not 1 <= int(found[2]) <= MOST_STARS:
        return "stars"
    return None


def clean(lines, users, movies):
    """Returns the lines that are as they should be, and a count of what is wrong with the others; a line that comes twice is one."""
    good, counts, seen = [], collections.Counter(), set()
    for line in lines:
        wrong = "duplicate" if line in seen else fault(line, users, movies)
        seen.add(line)
        if wrong:
            counts[wrong] += 1
        else:
            good.append(line)
    return good, counts
