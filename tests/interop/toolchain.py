"""The clients from the language registries: what each needs, how it is made, how it is run.

Each function returns the command to which tests/clients/records.py's arguments are added, or raises Missing. What is
downloaded stays in the tools' own caches; what is built lies in build/interop."""
import os
import shutil
import subprocess
import sys

from kafka import BUILD, HERE, class_path, java
from nodes import ROOT

CLIENTS = os.path.join(ROOT, "tests", "clients")
ALL = ["none", "gzip", "snappy", "lz4", "zstd"]
PYPI = ["confluent-kafka==2.16.1", "kafka-python==3.0.12", "lz4==4.4.5", "zstandard==0.25.0", "python-snappy==0.7.3"]
DEBIAN_PYTHON = "/usr/bin/python3"


class Missing(Exception):
    """A client can't run here; says why."""


def need(*programs):
    for p in programs:
        if not shutil.which(p):
            raise Missing(f"{p} isn't installed")


def run(*command, **kwargs):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **kwargs)
    if done.returncode:
        raise Missing(f"`{' '.join(command)[:120]}` failed: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


def newer(target, *sources):
    return os.path.exists(target) and all(os.path.getmtime(target) >= os.path.getmtime(s) for s in sources)


def java_client(version):
    need("java", "javac", "mvn")
    path, out = class_path(f"clients-{version}"), os.path.join(BUILD, f"java-{version}")
    source = os.path.join(HERE, "java", "Client.java")
    if not newer(os.path.join(out, "Client.class"), source):
        run("javac", "-nowarn", "-proc:none", "-Xlint:-options", "-d", out, "-cp", path, source)
    return java(f"{out}:{path}", "Client")


def venv():
    need("python3")
    out = os.path.join(BUILD, "venv")
    stamp = os.path.join(out, "interop-packages")
    wanted = "\n".join(PYPI)
    if not os.path.exists(stamp) or open(stamp).read() != wanted:
        run(sys.executable, "-m", "venv", "--clear", out)
        run(os.path.join(out, "bin", "pip"), "install", "-q", "--disable-pip-version-check", *PYPI)
        with open(stamp, "w") as f:
            f.write(wanted)
    return os.path.join(out, "bin", "python")


def confluent_newest():
    return [venv(), os.path.join(CLIENTS, "client_confluent.py")]


def kafka_python():
    return [venv(), os.path.join(HERE, "python", "client_kafka_python.py")]


def librdkafka_2_0():
    version = run(DEBIAN_PYTHON, "-c", "import confluent_kafka; print(confluent_kafka.libversion()[0])")
    if not version.startswith("2.0."):
        raise Missing(f"Debian's librdkafka is {version.strip()}, not 2.0")
    return [DEBIAN_PYTHON, os.path.join(CLIENTS, "client_confluent.py")]


def kcat():
    need("kcat")
    return [sys.executable, os.path.join(CLIENTS, "client_kcat.py")]


def go(name):
    need("go")
    out = os.path.join(BUILD, "go")
    os.makedirs(out, exist_ok=True)
    run("go", "build", "-o", out + "/", f"./{name}", cwd=os.path.join(HERE, "go"),
        env={**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"})
    return [os.path.join(out, name)]


def kafkajs():
    need("node", "npm")
    out = os.path.join(BUILD, "node")
    os.makedirs(out, exist_ok=True)
    for f in ("package.json", "client.js"):
        shutil.copy2(os.path.join(HERE, "node", f), out)
    if not newer(os.path.join(out, "node_modules", ".package-lock.json"), os.path.join(HERE, "node", "package.json")):
        run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent", cwd=out)
        os.utime(os.path.join(out, "node_modules", ".package-lock.json"))
    return ["node", os.path.join(out, "client.js")]


# name, how to make it, whether it reads (kafkajs consumes only in groups)
TABLE = [
    ("kcat", kcat, True),
    ("librdkafka-2.0", librdkafka_2_0, True),
    ("confluent-kafka-python", confluent_newest, True),
    ("java-2.1.0", lambda: java_client("2.1.0"), True),
    ("java-3.6.2", lambda: java_client("3.6.2"), True),
    ("java-4.3.1", lambda: java_client("4.3.1"), True),
    ("kafka-python", kafka_python, True),
    ("franz-go", lambda: go("franz"), True),
    ("sarama", lambda: go("sarama"), True),
    ("kafkajs", kafkajs, False),
]
