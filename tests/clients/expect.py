"""What the clients must tell of any right broker, worked out from the records alone."""
import records


def _facts(prefix, codecs, lines, times):
    """lines: the records as the client prints them, without offset."""
    numbered = [f"{i}\t{s}" for i, s in enumerate(lines)]
    out = {"create": sorted(f"{prefix}-{idem}{c}" for c in codecs for idem in ("", "idem-"))}
    for c in codecs:
        out[f"produce-{c}"] = out[f"idem-{c}"] = [f"0\t{len(lines) - 1}"]
        out[f"read-{c}"] = out[f"read-idem-{c}"] = numbered
        out[f"offset-{c}"] = [f"{at}\t{s}" for at in records.OFFSETS for s in numbered[at:]]
        out[f"time-{c}"] = times(numbered, f"{prefix}-{c}")
        out[f"ends-{c}"] = [f"0\t{len(lines)}"]
    return out


def confluent(prefix, codecs):
    all_records = records.records()

    def times(numbered, _):
        out = []
        for when in records.TIMES:
            found = next((i for i, r in enumerate(all_records) if r[0] >= when), -1)
            out += [f"{when}\t{found}\t-"]
            out += [f"{when}\t{s}" for s in numbered[found:]] if found >= 0 else []
        return out

    return _facts(prefix, codecs, [records.line(*r) for r in all_records], times)


def kcat(prefix, codecs):
    lines = [f"now\tkey-{i % 7}\tweir {i:03} {'x' * 100}\ta\t1\tb\ttwo\ta\t" if i % 5 else
             f"now\tNone\tno key {'y' * 100} {i}\ta\t1\tb\ttwo\ta\t" for i in range(40)]

    def times(_, topic):
        return [f"{at}\tright" for at in (0, 9, 20, 39)] + [f"{topic} [0] offset -1"]

    out = _facts(prefix, codecs, lines, times)
    for c in codecs:
        out[f"offset-{c}"] += [f"-3\t{i}\t{lines[i]}" for i in (37, 38, 39)]
        out[f"ends-{c}"] = [f"{prefix}-{c} [0] offset {at}" for at in (0, 40)]
    return out
