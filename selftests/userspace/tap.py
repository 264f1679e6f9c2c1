# SPDX-License-Identifier: GPL-2.0
"""TAP for tests in Python: every function named test_* of a module is a test."""
import os
import sys
import traceback

# userspace/python, from where the tests are built.
PACKAGE = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)),
                                        "../../../userspace/python"))
if not os.path.isdir(PACKAGE):
    # In the source tree, where those that need no device can be run as they are.
    PACKAGE = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)),
                                            "../../userspace/python"))
sys.dont_write_bytecode = True
sys.path.insert(0, PACKAGE)


def equal(found, expected, what=""):
    """A test's check, which says what it has found."""
    if found != expected:
        raise AssertionError(f"{what}: {found!r}, not {expected!r}")


def raises(kind, part, function, *args, **kwargs):
    """The function must raise this, with this in its message.  Returns the exception."""
    try:
        function(*args, **kwargs)
    except kind as error:
        if part not in str(error):
            raise AssertionError(f"{error!s} has no {part!r}") from error
        return error
    raise AssertionError(f"nothing raised; expected {kind.__name__}: {part}")


def main(tests):
    """Run the tests of a namespace, in the order in which they are written."""
    tests = [(name[5:].replace("_", " "), test) for name, test in tests.items()
             if name.startswith("test_")]
    failed = False
    print("TAP version 13", flush=True)
    for number, (name, test) in enumerate(tests, 1):
        try:
            test()
        except Exception:
            failed = True
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
            print("not ", end="")
        print(f"ok {number} {name}", flush=True)
    print(f"1..{len(tests)}", flush=True)
    sys.exit(failed)
