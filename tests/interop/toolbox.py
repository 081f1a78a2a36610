"""Kafka's own command-line tools, as many as one likes in one Java process: to start one takes as long as twenty answers."""
import os
import subprocess
from types import SimpleNamespace

from kafka import BUILD, HERE, class_path, java
from toolchain import newer, run


class Toolbox:
    """`with` runs it; a call is a tool's class and its arguments, and answers as subprocess.run() does."""

    def __init__(self):
        path, out = class_path("server-4.3.1"), os.path.join(BUILD, "java-tools")
        source = os.path.join(HERE, "java", "Tools.java")
        if not newer(os.path.join(out, "Tools.class"), source):
            run("javac", "-nowarn", "-proc:none", "-Xlint:-options", "-d", out, "-cp", path, source)
        self.command, self.process = java(f"{out}:{path}", "Tools"), None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self("kafka.tools.StorageTool", "random-uuid")  # what the first one says of its libraries is no tool's word
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def __call__(self, name, *args):
        self.process.stdin.write("\t".join([name, *args]).encode() + b"\n")
        self.process.stdin.flush()
        code, out, err = (int(n) for n in self.process.stdout.readline().split())
        return SimpleNamespace(returncode=code, stdout=self.process.stdout.read(out).decode(),
                               stderr=self.process.stdout.read(err).decode())
