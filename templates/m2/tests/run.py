"""Runs all tests and writes which lines of the code ran, as lcov does, with Python's standard library alone.

`pip install coverage`, and `coverage run -m unittest` with `coverage xml`, tell more (branches, for one) and are read just as well.
"""
import dis
import glob
import os
import sys
import threading
import trace
import types
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
REPORT = "lcov.info"


def executable(code):
    """Yields the numbers of the lines that can run, also those of functions inside."""
    for _, line in dis.findlinestarts(code):
        if line:
            yield line
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from executable(inner)


def run():
    return unittest.TextTestRunner(stream=sys.stdout).run(unittest.defaultTestLoader.discover("tests"))


def report(counts):
    ran = {(os.path.realpath(path), line) for path, line in counts}
    with open(REPORT, "w", encoding="utf-8") as out:
        for path in sorted(glob.glob(os.path.join(TOP, "*.py"))):
            with open(path, encoding="utf-8") as file:
                code = compile(file.read(), path, "exec")
            print(f"SF:{path}", file=out)
            for line in sorted(set(executable(code))):
                print(f"DA:{line},{int((path, line) in ran)}", file=out)
            print("end_of_record", file=out)


if __name__ == "__main__":
    os.chdir(TOP)
    sys.path.insert(0, TOP)
    tracer = trace.Trace(count=1, trace=0, ignoredirs=[sys.prefix, sys.base_prefix])
    threading.settrace(tracer.globaltrace)
    result = tracer.runfunc(run)
    report(tracer.results().counts)
    sys.exit(not result.wasSuccessful())
