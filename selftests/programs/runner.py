# SPDX-License-Identifier: GPL-2.0
"""One run of a program. The results are a dictionary: from each case's name to "passed",
"failure" and so on, or, of a script, its output."""

import os
import shutil
import subprocess
import tempfile
import time
from xml.etree import ElementTree

from programs import HERE

GROUP = "/sys/fs/cgroup/program"
# A shell joins the cgroup and then executes the program.
JOIN = f'echo $$ >{GROUP}/cgroup.procs && exec "$@"'


def command(program, cases, report):
    if program.kind == "work":
        return [f"{HERE}/work/{program.name}"]
    select = [word for case in cases or program.classes for word in ("-m", case)]
    return ["python3", "-m", "test", "--junit-xml", report, *select, program.name]


def end_group():
    """End all processes that the program has left behind."""
    with open(f"{GROUP}/cgroup.kill", "w", encoding="ascii") as file:
        file.write("1")
    while True:
        with open(f"{GROUP}/cgroup.events", encoding="ascii") as file:
            if "populated 0" in file.read():
                break
        time.sleep(0.05)
    os.rmdir(GROUP)


def wait(process, seconds):
    try:
        return str(process.wait(seconds))
    except subprocess.TimeoutExpired:
        return f"not ended after {seconds} s"


def outcome(testcase):
    for kind in ("error", "failure", "skipped"):
        if testcase.find(kind) is not None:
            return kind
    # Python 3.11 has this as an attribute, not as an element.
    return "skipped" if testcase.get("result") == "skipped" else "passed"


def read_cases(report):
    cases = {}
    if not os.path.exists(report):
        return cases
    for testcase in ElementTree.parse(report).iter("testcase"):
        name = testcase.get("name")
        # Several classes can have a case of this name: the worst result counts.
        if cases.get(name, "passed") in ("passed", "skipped"):
            cases[name] = outcome(testcase)
    return cases


def run(program, service, log, cases=()):
    """Run it, or only these cases of it, with its output in the file log."""
    directory = tempfile.mkdtemp()
    report = f"{directory}/report.xml"
    prefix = ["pymalloc", "run", "--"] if service else []
    os.mkdir(GROUP)
    begin = time.monotonic()
    with open(log, "wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", JOIN, "sh", *prefix, *command(program, cases, report)],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT)
        status = wait(process, program.seconds)
    end_group()
    process.wait()
    result = {"exit status": status}
    if program.kind == "python":
        result.update(read_cases(report))
    else:
        with open(log, encoding="utf-8", errors="replace") as output:
            result["output"] = output.read()
    shutil.rmtree(directory, ignore_errors=True)
    return result, time.monotonic() - begin
