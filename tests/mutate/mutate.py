#!/usr/bin/env python3
"""Draws small changes of the library's source at random and sees whether the fast tests notice them.

    tests/mutate/mutate.py [--count N] [--seed S] [--jobs J] [FOLDER...]

A mutant is one token changed on one line: a comparison, a sign, a constant, an operator, a condition turned round, or a
call left out. It is noticed if it does not compile, or if one of these fails: the unit tests (of its own folder first),
the fuzz corpora, 1,500 seeds of each level of the simulator, the integration tests. Only what is about to run is built,
and a program that is bit for bit what it was without the change is not run. What the compiler turns into the same object
is no change, and another one is drawn. One line for each; what survives is printed again at the end. The sources are copied: the tree is not touched. Exit status 0: whatever survives is for people
to look at. An explained survivor stands in explained.txt beside this file, with the reason: it is drawn no more.
"""

import argparse
import concurrent.futures
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ["src/membership", "src/session", "src/collectives/exec", "src/collectives/plan", "src/transport/link", "src/comm"]
SEEDS = 1500
LIMIT_S = 300

# What one token may become. The first that matches at a place counts.
SWAPS = [
    ("<=", ["<", ">"]),
    (">=", [">", "<"]),
    ("==", ["!="]),
    ("!=", ["=="]),
    ("&&", ["||"]),
    ("||", ["&&"]),
    ("++", ["--"]),
    ("--", ["++"]),
    ("+=", ["-="]),
    ("-=", ["+="]),
    ("|=", ["&="]),
    (" < ", [" <= ", " > "]),
    (" > ", [" >= ", " < "]),
    (" + ", [" - "]),
    (" - ", [" + "]),
    (" * ", [" + "]),
    (" / ", [" * "]),
    (" % ", [" / "]),
    (" & ", [" | "]),
    (" | ", [" & "]),
    (" << ", [" >> "]),
    ("true", ["false"]),
    ("false", ["true"]),
    ("continue;", ["break;"]),
    ("break;", ["continue;"]),
]
CONSTANT = re.compile(r"(?<![\w.\"])(\d+)(?![\w.\"])")
NEGATION = re.compile(r"!(?=[\w(])")
CALL = re.compile(r"^\t+[a-z_]+(?:->[a-z_]+)?\([^;]*\);$")
# Says nothing to a test: words for people, promises, what is known before the program runs.
SKIP = re.compile(r"assert\(|pccl_log_|pccl_fail\(|snprintf|^\s*[#/*]|^\s*\*|__attribute__")


def strip(line):
    """The line with its strings, characters and comments blanked: same columns."""
    line = re.sub(r'"(?:\\.|[^"\\])*"', lambda m: '"' + " " * (len(m.group()) - 2) + '"', line)
    line = re.sub(r"'(?:\\.|[^'\\])+'", lambda m: " " * len(m.group()), line)
    line = re.sub(r"/\*.*?(\*/|$)", lambda m: " " * len(m.group()), line)
    return re.sub(r"//.*$", lambda m: " " * len(m.group()), line)


def changes_of_line(line):
    """All (column, old, new) of one line."""
    plain = strip(line)
    found = []
    column = 0
    while column < len(plain):
        for old, news in SWAPS:
            if not plain.startswith(old, column):
                continue
            if old[0].isalpha() and re.match(r"\w", plain[max(column - 1, 0):column]):
                continue
            found += [(column, old, new) for new in news]
            column += len(old) - 1
            break
        column += 1
    for match in CONSTANT.finditer(plain):
        value = int(match.group())
        found += [(match.start(), match.group(), str(value + 1))]
        if value > 0:
            found += [(match.start(), match.group(), str(value - 1))]
    found += [(match.start(), "!", "") for match in NEGATION.finditer(plain)]
    if CALL.match(plain.rstrip("\n")):
        text = line.strip()
        found.append((line.index(text), text, ";"))
    return found


def bodies(lines):
    """The numbers of the lines inside functions."""
    inside = comment = False
    for number, line in enumerate(lines):
        if line.startswith("{"):
            inside = True
        elif line.startswith("}"):
            inside = False
        elif inside:
            opens = "/*" in line
            if not comment and not opens and not SKIP.search(line):
                yield number
            comment = (comment or opens) and "*/" not in line[line.rfind("/*") + 1 if opens else 0:]


def all_changes(folders):
    """Every change that may be drawn: (file, line number, column, old, new)."""
    changes = []
    for folder in folders:
        for place, _, names in sorted(os.walk(os.path.join(ROOT, folder))):
            for name in sorted(names):
                if not name.endswith(".c"):
                    continue
                path = os.path.join(place, name)
                with open(path, encoding="utf-8") as file:
                    lines = file.readlines()
                for number in bodies(lines):
                    for column, old, new in changes_of_line(lines[number]):
                        changes.append((os.path.relpath(path, ROOT), number, column, old, new))
    return changes


def explained():
    """{(file, the line, the changed line)} that people have looked at."""
    known = set()
    path = os.path.join(ROOT, "tests/mutate/explained.txt")
    with open(path, encoding="utf-8") as file:
        for block in file.read().split("\n\n"):
            lines = [line for line in block.splitlines() if line and not line.startswith("#")]
            if len(lines) >= 3:
                known.add((lines[0].strip(), lines[1].strip(), lines[2].strip()))
    return known


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).digest()


class Tree:
    """A copy of the project, built once, in which one mutant after the other is tried."""

    def __init__(self, work, number):
        self.place = os.path.join(work, f"tree{number}")
        os.makedirs(self.place)
        for name in ("src", "include", "tests", "bench", "scripts", "Makefile", ".clang-format", "README.md", "docs"):
            source = os.path.join(ROOT, name)
            (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, os.path.join(self.place, name))
        if not self.make("all", "test-programs"):
            sys.exit(f"mutate: the tree as it is does not build in {self.place}")
        self.simulator = "build/release/test/pccl-sim"
        self.programs = {kind: self.tests(kind) for kind in ("unit", "fuzz", "integration")}
        self.good = {program: digest(os.path.join(self.place, program))
                     for program in sum(self.programs.values(), [self.simulator])}

    def check(self):
        """What fails without a change would notice every one."""
        for program in self.programs["unit"] + self.programs["fuzz"]:
            if not self.run(["tests/run.sh", program]):
                sys.exit(f"mutate: {program} fails as it is")
        for level in ("1", "2"):
            if not self.run([self.simulator, "--level", level, "--seeds", str(SEEDS)]):
                sys.exit(f"mutate: seeds of level {level} fail as they are")

    def run(self, command, limit=LIMIT_S):
        """True: it succeeded in time."""
        with subprocess.Popen(command, cwd=self.place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL, start_new_session=True,
                              env={**os.environ, "PCCL_BUILD": "build/release", "PCCL_TEST_TIMEOUT": "120"}) as process:
            try:
                return process.wait(limit) == 0
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return False

    def make(self, *targets):
        return self.run(["make", "--no-print-directory", "-j2", *targets], 900)

    def tests(self, kind):
        found = []
        for at, _, names in os.walk(os.path.join(self.place, "build/release/test", kind)):
            found += [os.path.relpath(os.path.join(at, name), self.place) for name in names if "." not in name]
        return sorted(found)

    def changed(self, programs):
        """Those of the programs that the change makes others."""
        if programs:
            self.make(*programs)
        return [program for program in programs if digest(os.path.join(self.place, program)) != self.good[program]]

    def first_to_notice(self, file):
        """What notices the change of a file that is in place: None: nothing does; "": it is no change."""
        own = os.path.dirname(file).replace("src/", "build/release/test/unit/", 1) + "/"
        target = "build/release/obj/" + file[:-2] + ".o"
        path = os.path.join(self.place, target)
        before = digest(path)
        if not self.make(target):
            return "the compiler"
        if digest(path) == before:
            return ""
        unit = self.programs["unit"]
        mine = [program for program in unit if program.startswith(own)]
        noticed = self.fails(self.changed(mine), ["-j", "1"]) or self.simulate("150")
        noticed = noticed or self.fails(self.changed([program for program in unit if program not in mine]), ["-j", "1"])
        noticed = noticed or self.fails(self.changed(self.programs["fuzz"]), ["-j", "1"]) or self.simulate(str(SEEDS))
        if noticed:
            return noticed
        self.make("all")
        for program in self.changed(self.programs["integration"]):
            if not self.run(["tests/run.sh", "--", program]):
                return program
        return None

    def simulate(self, seeds):
        for level in ("1", "2") if self.changed([self.simulator]) else ():
            if not self.run([self.simulator, "--level", level, "--seeds", seeds]):
                return f"level {level} of the simulator, {seeds} seeds"
        return None

    def fails(self, programs, options):
        """The first of these tests that fails."""
        for program in programs:
            if not self.run(["tests/run.sh", *options, program]):
                return program
        return None

    def try_change(self, change):
        file, number, column, old, new = change
        path = os.path.join(self.place, file)
        with open(path, encoding="utf-8") as source:
            lines = source.readlines()
        good = lines[number]
        lines[number] = good[:column] + new + good[column + len(old):]
        with open(path, "w", encoding="utf-8") as source:
            source.writelines(lines)
        noticed = self.first_to_notice(file)
        lines[number] = good
        with open(path, "w", encoding="utf-8") as source:
            source.writelines(lines)
        # as it was, for what the next change is compared with
        self.make("build/release/obj/" + file[:-2] + ".o")
        return noticed, good.strip(), (good[:column] + new + good[column + len(old):]).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1_000_000)
    known = explained()
    changes = all_changes(options.folders)
    random.Random(seed).shuffle(changes)
    print(f"seed {seed}: {options.count} of {len(changes)} changes", flush=True)
    survivors = []
    with tempfile.TemporaryDirectory(prefix="pccl-mutate-") as work, \
            concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        trees = list(pool.map(lambda number: Tree(work, number), range(options.jobs)))
        trees[0].check()
        free = list(trees)
        places = iter(changes)

        def one(change):
            tree = free.pop()
            try:
                return change, tree.try_change(change)
            finally:
                free.append(tree)

        def drawn():
            for change in places:
                file, number, column, old, new = change
                with open(os.path.join(ROOT, file), encoding="utf-8") as source:
                    good = source.readlines()[number]
                if (file, good.strip(), (good[:column] + new + good[column + len(old):]).strip()) not in known:
                    yield change

        def tried():
            """The results in whatever order they come, as many as were asked for."""
            source, done = drawn(), 0
            waiting = {pool.submit(one, change) for _, change in zip(trees, source)}
            while waiting and done < options.count:
                ended, waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in ended:
                    change, result = future.result()
                    if result[0] != "":
                        done += 1
                        yield done, change, *result
                    if done + len(waiting) < options.count:
                        waiting |= {pool.submit(one, change) for _, change in zip([0], source)}

        for done, change, noticed, good, bad in tried():
            where = f"{change[0]}:{change[1] + 1}"
            print(f"{done:4} {'noticed ' if noticed else 'SURVIVES'} {where}: {bad}   ({noticed or 'was: ' + good})",
                  flush=True)
            if not noticed:
                survivors.append((where, good, bad))
    print(f"\n{options.count - len(survivors)} of {options.count} noticed; these were not:")
    for where, good, bad in survivors:
        print(f"{where}\n\t{good}\n\t{bad}")


if __name__ == "__main__":
    main()
