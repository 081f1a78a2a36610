#!/usr/bin/python3
"""weir beside Apache Kafka 4.3.1: the same clients, the same work, one after the other in one run.

    bench.py [--scale S] [--only GROUP,…] [--system kafka,weir] [--out FILE]

Groups: start produce codecs requests latency partitions many tools. A scale of 1 produces 1 GB a row. README.md says what
each row does."""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "clients"), os.path.join(HERE, "..", "interop")]
import kafka  # noqa: E402
import probe  # noqa: E402
from measure import Meter, Reserve, Span, kernel_seconds, kernel_threads, touch_memory  # noqa: E402
from nodes import ROOT, Weir, fresh  # noqa: E402
from rows import ROWS, table  # noqa: E402

BUILD = os.path.join(ROOT, "build", "opt")
DATA = os.path.join(ROOT, "build", "bench")
PARTITIONS = 6
GB = 1e9
RESERVE = Reserve()
RESERVE_MORE = 0.5 * GB # for the client's queue


class Apache(kafka.Kafka):
    """With the heap and the collector of Kafka's own start script."""

    def command(self):
        return ["java", "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
                "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true", "-cp", self.path, "kafka.Kafka", self.config]

    def topics_tool(self):
        return ["java", "-Xmx256M", "-server", "-XX:+UseG1GC", "-cp", self.path,
                "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.bootstrap, "--list"]


class Ours(Weir):
    def topics_tool(self):
        return [os.path.join(BUILD, "weir"), "topics", "--bootstrap-server", self.bootstrap, "--list"]


SYSTEMS = {"kafka": Apache, "weir": Ours}


class Bench:
    def __init__(self, system, scale, figures):
        self.system, self.scale, self.figures = system, scale, figures
        self.node = self.meter = None

    def say(self, row, value):
        self.figures.setdefault(row, {})[self.system] = value
        print(f"  {self.system:6} {row}: {value:.4g}", file=sys.stderr, flush=True)

    # A node's life.

    def start(self, name):
        self.node = SYSTEMS[self.system](fresh(os.path.join(DATA, f"{self.system}-{name}")))
        return self.launch()

    def launch(self):
        """Seconds from exec to the first answered Metadata."""
        at = time.monotonic()
        with open(self.node.output, "ab") as out:
            self.node.process = subprocess.Popen(self.node.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                 env=self.node.environment(), cwd=self.node.dir)
        probe.until(self.answers, limit=120, step=0.0005)
        seconds = time.monotonic() - at
        self.meter = Meter(self.node.process.pid)
        return seconds

    def answers(self):
        if self.node.process.poll() is not None:
            raise RuntimeError(f"{self.system} ended: {self.node.tail()}")
        return probe.metadata_answers(self.node.port)

    def stop(self, keep=False):
        if self.node and self.node.process:
            self.node.stop()
        if self.meter:
            self.meter.close()
        if self.node and not keep:
            shutil.rmtree(self.node.dir, ignore_errors=True)
        self.node = self.meter = None

    def kill(self):
        self.node.kill()
        self.meter.close()

    def create(self, topics, partitions, config=None):
        from confluent_kafka.admin import AdminClient, NewTopic
        admin = AdminClient({"bootstrap.servers": self.node.bootstrap, "broker.address.family": "v4"})
        new = [NewTopic(t, partitions, 1, config=config or {}) for t in topics]
        for done in admin.create_topics(new, request_timeout=120, operation_timeout=120).values():
            done.result()

    def load(self, mode, topic, **settings):
        args = [f"{k.replace('_', '.') if k not in OURS else k}={v}" for k, v in settings.items()]
        done = subprocess.run([os.path.join(BUILD, "bench_load"), mode, self.node.bootstrap, topic, *args],
                              capture_output=True, text=True, timeout=1800)
        if done.returncode:
            raise RuntimeError(f"load {mode} {topic}: {done.stderr[-2000:]}")
        out = json.loads(done.stdout)
        if out.get("failed"):
            raise RuntimeError(f"load {mode} {topic}: {out}; {done.stderr[-2000:]}")
        return out

    # Groups of rows.

    def group_start(self):
        seconds = [self.start("start")]
        self.meter.quiet_since()
        time.sleep(2)
        self.say("idle_mib", self.meter.resident_mib())
        self.say("idle_cpu", self.meter.idle_percent(10 if self.scale < 1 else 30))
        self.say("idle_mib", self.meter.resident_mib())
        for _ in range(2):
            self.node.stop()
            self.meter.close()
            seconds.append(self.launch())
        self.say("start_s", sorted(seconds[1:])[0])
        self.say("start_first_s", seconds[0])
        self.stop()

    def cpu_row(self, row, payload, span):
        per = payload / GB
        self.say(row, span.cpu / per)
        self.say(row + "_user", span.user / per)
        self.say(row + "_kthreads", span.kernel / per)
        self.say(row + "_all", (span.cpu + span.kernel) / per)

    def produce_row(self, row, topic, size, gb, **settings):
        self.create([topic], PARTITIONS)
        records = int(gb * self.scale * GB / size)
        RESERVE.fill(gb * self.scale * GB + RESERVE_MORE)
        with Span(self.meter) as span:
            RESERVE.release()
            out = self.load("produce", topic, partitions=PARTITIONS, records=records, size=size, acks=1, linger_ms=5,
                            **settings)
        self.cpu_row(row, out["bytes"], span)
        self.say(row + "_mb_s", out["bytes"] / 1e6 / out["seconds"])
        return records

    def consume_row(self, row, topic, records):
        with Span(self.meter, sync=False) as span:
            out = self.load("consume", topic, partitions=PARTITIONS, records=records)
        self.cpu_row(row, out["bytes"], span)
        self.say(row + "_mb_s", out["bytes"] / 1e6 / out["seconds"])

    def group_produce(self):
        self.start("produce")
        self.produce_row("warm_1k", "warm", 1024, 0.5) # a JVM compiles while it is warm
        records = self.produce_row("produce_1k", "p1k", 1024, 1)
        self.consume_row("warm_consume", "p1k", records)
        self.consume_row("consume_1k", "p1k", records)
        self.produce_row("produce_16k", "p16k", 1024, 1, batch_size=16384)
        self.produce_row("produce_100", "p100", 100, 0.5)
        self.say("after_mib", self.meter.resident_mib())
        self.stop()

    def group_codecs(self):
        self.start("codecs")
        for codec in ("lz4", "zstd"):
            records = self.produce_row(f"produce_{codec}", codec, 1024, 1, compression_codec=codec)
            self.consume_row(f"consume_{codec}", codec, records)
        self.say("after_codecs_mib", self.meter.resident_mib())
        self.stop()

    def group_requests(self):
        self.start("requests")
        for row, flight in (("request_5", 5), ("request_1", 1)):
            self.create([row], 1)
            count = max(2000, int(100000 * self.scale))
            # A JVM compiles while it is warm: the first run isn't counted.
            for _ in range(2):
                with Span(self.meter) as span:
                    out = self.load("produce", row, partitions=1, records=count, size=1024, acks="all", linger_ms=0,
                                    enable_idempotence="true", batch_num_messages=1,
                                    max_in_flight_requests_per_connection=flight)
            self.say(row + "_us", span.cpu / out["acked"] * 1e6)
            self.say(row + "_all_us", (span.cpu + span.kernel) / out["acked"] * 1e6)
            self.say(row + "_per_s", out["acked"] / out["seconds"])
        self.stop()

    def group_latency(self):
        self.start("latency")
        durable = {"weir": {"log.durable": "true"}, "kafka": {"flush.messages": "1"}}[self.system]
        count = max(3000, int(20000 * self.scale))
        for row, partitions, config in (("latency", 1, {}), ("durable_1", 1, durable), ("durable_300", 300, durable)):
            self.create([row], partitions, config)
            self.load("latency", row, partitions=partitions, rate=1000, records=2000, size=1024, acks="all", linger_ms=0)
            with Span(self.meter) as span:
                out = self.load("latency", row, partitions=partitions, rate=1000, records=count, size=1024, acks="all",
                                linger_ms=0)
            for what in ("p50_ms", "p99_ms", "max_ms"):
                self.say(f"{row}_{what}", out[what])
            self.say(f"{row}_cpu_us", span.cpu / out["acked"] * 1e6)
        self.stop()

    def made(self, topics, partitions):
        """Creates them. Seconds until each has a leader; until the node is quiet."""
        start = time.monotonic()
        for i in range(0, len(topics), 5): # Kafka decides at most 10,000 records a request
            self.create(topics[i:i + 5], partitions)
        probe.until(lambda: probe.partitions_led(self.node.port, topics) == len(topics) * partitions, step=0.005)
        led = time.monotonic()
        return led - start, max(self.meter.quiet_since(), led) - start

    def restart_row(self, row, topic):
        self.kill()
        at = time.monotonic()
        self.launch()
        self.say(row + "_metadata_s", time.monotonic() - at)
        probe.until(lambda: probe.produced(self.node.port, topic))
        self.say(row + "_s", time.monotonic() - at)

    def group_partitions(self):
        self.start("partitions")
        self.meter.quiet_since()
        topics = [f"many-{i}" for i in range(10)]
        led, quiet = self.made(topics, 1000)
        self.say("create_10k_led_s", led)
        self.say("create_10k_s", quiet)
        self.say("memory_10k_mib", self.meter.resident_mib())
        time.sleep(5)
        self.say("idle_10k_cpu", self.meter.idle_percent(10 if self.scale < 1 else 30))
        for t in topics:
            self.load("touch", t, partitions=1000, acks=1)
        self.say("memory_10k_used_mib", self.meter.resident_mib())
        self.say("idle_10k_used_cpu", self.meter.idle_percent(10))
        self.restart_row("restart_10k", topics[3])
        self.stop()

    def group_many(self):
        if self.system != "weir":
            return
        self.start("many")
        topics = [f"many-{i}" for i in range(100)]
        led, quiet = self.made(topics, 1000)
        self.say("create_100k_s", quiet)
        self.say("memory_100k_mib", self.meter.resident_mib())
        self.say("idle_100k_cpu", self.meter.idle_percent(10))
        self.restart_row("restart_100k", topics[30])
        self.say("memory_100k_restarted_mib", self.meter.resident_mib())
        self.stop()

    def group_tools(self):
        self.start("tools")
        self.create(["a", "b"], 3)
        runs = []
        for _ in range(3 if self.system == "kafka" else 20):
            used, at = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            done = subprocess.run(self.node.topics_tool(), capture_output=True, text=True)
            if done.returncode or set(done.stdout.split()) < {"a", "b"}:
                raise RuntimeError(f"{done.args}: {done.stdout}{done.stderr}")
            wall, now = time.monotonic() - at, resource.getrusage(resource.RUSAGE_CHILDREN)
            runs.append((wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime))
        self.say("tool_ms", 1000 * sorted(r[0] for r in runs)[len(runs) // 2])
        self.say("tool_cpu_ms", 1000 * sorted(r[1] for r in runs)[len(runs) // 2])
        self.stop()


OURS = {"partitions", "records", "size", "rate"}
GROUPS = [n[len("group_"):] for n in Bench.__dict__ if n.startswith("group_")]


def floor(mode, *args):
    path = os.path.join(DATA, "floor.dat")
    out = None
    if mode != "consume" and os.path.exists(path):
        os.unlink(path)
    if mode == "produce":
        RESERVE.fill(args[0] + RESERVE_MORE)
    os.sync()
    before = kernel_threads()
    RESERVE.release()
    done = subprocess.run([os.path.join(BUILD, "bench_floor"), mode, path, *map(str, args)], check=True,
                          capture_output=True, text=True)
    if mode != "consume":
        os.sync()
    out = json.loads(done.stdout)
    return out["user"] + out["system"], kernel_seconds(before, kernel_threads()), out


def floors(scale, only, figures):
    def say(row, value):
        figures.setdefault(row, {})["floor"] = value

    os.makedirs(DATA, exist_ok=True)
    size = int(scale * GB)
    if "produce" in only:
        for row, frame in (("produce_1k", 1000000), ("produce_100", 1000000), ("produce_16k", 16384),
                           ("consume_1k", 1000000)):
            mode = row.split("_")[0]
            cpu, kernel, out = floor(mode, size, frame)
            say(row, cpu * GB / out["bytes"])
            say(row + "_kthreads", kernel * GB / out["bytes"])
            say(row + "_all", (cpu + kernel) * GB / out["bytes"])
            if mode == "produce" and row == "produce_16k":
                floor("produce", size, 1000000) # what consume reads
    if "requests" in only:
        for row, flight in (("request_5", 5), ("request_1", 1)):
            cpu, kernel, out = floor("request", max(2000, int(100000 * scale)), flight)
            say(row + "_us", cpu * 1e6 / out["frames"])
            say(row + "_all_us", (cpu + kernel) * 1e6 / out["frames"])
    if "latency" in only:
        for row, files in (("durable_1", 1), ("durable_300", 300)):
            done = subprocess.run([os.path.join(BUILD, "bench_floor"), "sync", os.path.join(DATA, "floor.sync"),
                                   str(max(1000, int(5000 * scale))), str(files)], check=True, capture_output=True)
            for what, value in json.loads(done.stdout).items():
                say(f"{row}_{what}", value)
    if os.path.exists(os.path.join(DATA, "floor.dat")):
        os.unlink(os.path.join(DATA, "floor.dat"))


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--scale", type=float, default=0.3)
    parse.add_argument("--only", default=",".join(GROUPS))
    parse.add_argument("--system", default="kafka,weir")
    parse.add_argument("--out", help="the figures as JSON; what it held before stays")
    args = parse.parse_args()
    only, figures, failed = args.only.split(","), {}, []
    if not set(only) <= set(GROUPS):
        parse.error(f"groups are {' '.join(GROUPS)}")
    if args.out and os.path.exists(args.out):
        with open(args.out) as f:
            figures = json.load(f)
    touch_memory(4 + 6 * args.scale)
    floors(args.scale, only, figures)
    for group in only:
        for system in args.system.split(","):
            bench = Bench(system, args.scale, figures)
            try:
                getattr(bench, "group_" + group)()
            except Exception as e: # the other rows still say something
                failed.append(f"{system} {group}: {e}")
                print("FAILED", failed[-1], file=sys.stderr)
            finally:
                bench.stop()
                RESERVE.release()
            if args.out:
                with open(args.out, "w") as f:
                    json.dump(figures, f, indent=1)
    print(table(figures, ROWS))
    for line in failed:
        print("failed:", line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
