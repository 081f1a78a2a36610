#!/usr/bin/env python3
"""schema -> C: structs (proto_gen.h) and the tables that the codec interprets (proto_gen.c).

    gen.py --out DIR FOLDER...

README.md beside this file describes the format. A mistake in a schema stops the build with its file and line.
"""
import argparse
import os
import re
import sys

KINDS = {  # schema type -> (C type, constant, fewest bytes on the wire when flexible, and when not)
    'bool': ('bool', 'PROTO_BOOL', 1, 1),
    'int8': ('int8_t', 'PROTO_INT8', 1, 1),
    'int16': ('int16_t', 'PROTO_INT16', 2, 2),
    'uint16': ('uint16_t', 'PROTO_UINT16', 2, 2),
    'int32': ('int32_t', 'PROTO_INT32', 4, 4),
    'uint32': ('uint32_t', 'PROTO_UINT32', 4, 4),
    'int64': ('int64_t', 'PROTO_INT64', 8, 8),
    'float64': ('double', 'PROTO_FLOAT64', 8, 8),
    'uuid': ('struct uuid', 'PROTO_UUID', 16, 16),
    'string': ('struct slice', 'PROTO_STRING', 1, 2),
    'bytes': ('struct slice', 'PROTO_BYTES', 1, 4),
    'records': ('struct slice', 'PROTO_RECORDS', 1, 4),
}
FOREVER = 32767
OWN_TAG_FIRST = 0x7000  # fields of ours in Kafka's messages
NEVER = (1, 0)  # an interval that holds no version
C_WORDS = {'default', 'register', 'long', 'int', 'switch', 'case', 'union', 'enum', 'static', 'struct'}


class Bad(Exception):
    pass


def versions(text):
    if text == 'none':
        return NEVER
    m = re.fullmatch(r'(\d+)(?:(\+)|-(\d+))?', text)
    if not m:
        raise Bad(f'versions are written 3, 3+ or 3-5, not {text!r}')
    first = int(m[1])
    return (first, FOREVER if m[2] else int(m[3]) if m[3] else first)


def within(inner, outer):
    return inner == NEVER or (outer[0] <= inner[0] and inner[1] <= outer[1])


def snake(name):
    name = name.replace('KRaft', 'Kraft')
    name = re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).lower()
    return name + '_' if name in C_WORDS else name


class Field:
    def __init__(self, words):
        if len(words) < 3:
            raise Bad('a field needs a name, a type and versions')
        self.name, kind, self.versions = words[0], words[1], versions(words[2])
        self.array = kind.startswith('[]')
        self.nullable = self.versions if kind.endswith('?') else NEVER
        self.kind = kind.removeprefix('[]').removesuffix('?')
        self.tag, self.tagged = 0, NEVER
        self.default, self.ignorable, self.rigid = None, False, False
        for word in words[3:]:
            self.attribute(*word.partition('=')[::2])
        self.c_name = snake(self.name)
        self.json_name = self.name[0].lower() + self.name[1:]

    def attribute(self, name, value):
        if name == 'null':
            self.nullable = versions(value)
        elif name == 'tag':
            tag, _, tagged = value.partition('@')
            self.tag, self.tagged = int(tag, 0), versions(tagged) if tagged else self.versions
        elif name == 'default':
            self.default = value
        elif name == 'ignorable':
            self.ignorable = True
        elif name == 'flexible' and value == 'none':
            self.rigid = True
        elif name not in ('entity', 'key'):  # those two are for readers
            raise Bad(f'what does {name!r} mean?')
        if not within(self.tagged, self.versions):
            raise Bad('tag must lie within the versions of the field')

    def is_struct(self):
        return self.kind not in KINDS

    def default_number(self):
        text = self.default
        if text is None or text == 'null':
            if text and self.nullable == NEVER:
                raise Bad(f'{self.name}: null is the default of what is never null')
            return 0
        if self.kind == 'bool':
            return int(text == 'true')
        if not self.kind.startswith(('int', 'uint')) or self.array:
            raise Bad(f'{self.name}: only numbers and null can be a default')
        return int(text)


class Struct:
    """A message or a struct inside one."""

    def __init__(self, c_name, message):
        self.c_name, self.message = c_name, message
        self.fields = []


class Message(Struct):
    def __init__(self, name, head):
        super().__init__(name, self)
        self.versions, self.flexible = versions(head['versions']), versions(head['flexible'])
        self.structs = {}  # name -> Struct, in the order of declaration

    def struct(self, name):
        if name in self.structs:
            raise Bad(f'struct {name} is declared twice in {self.c_name}')
        self.structs[name] = Struct(f'{self.c_name}_{name}', self)
        return self.structs[name]

    def check(self):
        for s in [self, *self.structs.values()]:
            for f in s.fields:
                if f.is_struct() and f.kind not in self.structs:
                    raise Bad(f'{s.c_name}: no struct {f.kind}')
                if f.is_struct() and not f.array and f.nullable not in (NEVER, f.versions):
                    raise Bad(f'{f.name}: a struct may be null in all of its versions or in none')
                if f.tagged != NEVER and f.kind == 'records':
                    raise Bad(f'{f.name}: records cannot be tagged')
            tags = sorted(f.tag for f in s.fields if f.tagged != NEVER)
            kafkas = [t for t in tags if t < OWN_TAG_FIRST]
            ours = [t - OWN_TAG_FIRST for t in tags if t >= OWN_TAG_FIRST]
            if kafkas != list(range(len(kafkas))) or ours != list(range(len(ours))):
                raise Bad(f'{s.c_name}: tags are numbered without gaps, Kafka\'s from 0, ours from {OWN_TAG_FIRST:#x}')

    def sorted_structs(self):
        """Each after those that it contains, the message last."""
        done = []

        def visit(s, above):
            if s in above:
                raise Bad(f'{s.c_name} contains itself')
            if s in done:
                return
            for f in s.fields:
                if f.is_struct():
                    visit(self.structs[f.kind], above + [s])
            done.append(s)

        visit(self, [])
        if len(done) != len(self.structs) + 1:
            raise Bad(f'{self.c_name}: a struct that nobody uses')
        return done

    def size_min(self, s):
        """The fewest bytes that an element of type s takes, over all versions in which it occurs."""
        best = None
        for v in range(self.versions[0], self.versions[1] + 1):
            flexible = within((v, v), self.flexible)
            size, empty = int(flexible), True
            for f in s.fields:
                if not within((v, v), f.versions) or within((v, v), f.tagged):
                    continue
                empty = False
                if f.array:
                    size += 1 if flexible else 4
                elif f.is_struct():
                    size += 1 if f.nullable != NEVER else self.size_min(self.structs[f.kind])
                else:
                    size += KINDS[f.kind][2 if flexible and not f.rigid else 3]
            if not empty:
                best = size if best is None else min(best, size)
        return best or 0


class Schema:
    def __init__(self):
        self.apis, self.records, self.messages = [], [], []
        self.metadata = []  # (key, message) of Kafka's metadata records

    def read(self, path):
        with open(path, encoding='utf-8') as file:
            lines = file.read().split('\n')
        row = message = None
        stack = []
        before = len(self.messages)
        for number, line in enumerate(lines, 1):
            text = line.split('#')[0].rstrip()
            try:
                if not text:
                    continue
                if text[0] != ' ':
                    row, message = self.head(text.split(), row)
                    stack = [message]
                elif message is None:
                    raise Bad('a field before "request", "response", "key", "value" or "data"')
                else:
                    self.field(text, message, stack)
            except (Bad, ValueError, KeyError) as bad:
                sys.exit(f'{path}:{number}: {bad}')
        try:
            for m in self.messages[before:]:
                m.check()
        except Bad as bad:
            sys.exit(f'{path}: {bad}')

    def head(self, words, row):
        what = words[0]
        attributes = dict(w.partition('=')[::2] for w in words[1:])
        if what in ('api', 'record'):
            row = dict(attributes, name=words[1])
            (self.apis if what == 'api' else self.records).append(row)
            return row, None
        if what == 'data':
            name, attributes = words[1], dict(w.split('=') for w in words[2:])
        elif what in ('request', 'response', 'key', 'value'):
            name = row['name'] + what.capitalize()
            attributes = attributes or row
        else:
            raise Bad(f'what is {what!r}?')
        self.messages.append(Message(name, attributes))
        if 'metadata' in attributes:
            self.metadata.append((int(attributes['metadata']), self.messages[-1]))
        return row, self.messages[-1]

    def field(self, text, message, stack):
        indent = len(text) - len(text.lstrip())
        depth = indent // 4
        if indent % 4 or depth > len(stack):
            raise Bad('indentation is four blanks a level, one level at a time')
        del stack[depth:]
        words = text.split()
        if words[0] == 'struct':
            stack[:] = [message, message.struct(words[1])]
            return
        if stack[-1] is None:
            raise Bad('only a struct has fields of its own')
        field = Field(words)
        stack[-1].fields.append(field)
        # What is indented under a field of a struct type declares that struct, else it is declared below.
        stack.append(Nest(message, field) if field.is_struct() else None)


class Nest:
    """The struct that a field's nested lines declare; it comes to be with the first of them."""

    def __init__(self, message, field):
        self.message, self.field, self.made = message, field, None

    @property
    def fields(self):
        if not self.made:
            self.made = self.message.struct(self.field.kind)
        return self.made.fields


def c_member(s, f):
    base = f'struct {s.message.structs[f.kind].c_name}' if f.is_struct() else KINDS[f.kind][0]
    if f.array:
        return f'struct {{ {base} *v; int32_t n; }} {f.c_name};'
    if f.is_struct() and f.nullable != NEVER:
        return f'{base} *{f.c_name};'
    return f'{base} {f.c_name};'


def c_field(s, f):
    flags = [name for name, on in (
        ('PROTO_ARRAY', f.array),
        ('PROTO_POINTER', f.is_struct() and not f.array and f.nullable != NEVER),
        ('PROTO_IGNORABLE', f.ignorable),
        ('PROTO_RIGID', f.rigid),
        ('PROTO_NULL_DEFAULT', f.default == 'null'),
    ) if on]
    number = f.default_number()
    text = 'INT64_MIN' if number == -2**63 else f'INT64_C({number})'
    sub = f'&{s.message.structs[f.kind].c_name}_type' if f.is_struct() else 'NULL'
    kind = 'PROTO_STRUCT' if f.is_struct() else KINDS[f.kind][1]
    return (f'    {{"{f.json_name}", {sub}, {text}, offsetof(struct {s.c_name}, {f.c_name}), {kind}, '
            f'{" | ".join(flags) or 0}, {f.tag}, {{{f.versions[0]}, {f.versions[1]}}}, '
            f'{{{f.nullable[0]}, {f.nullable[1]}}}, {{{f.tagged[0]}, {f.tagged[1]}}}}},')


def write_header(schema, out):
    out.append('/* Generated by proto/gen.py from proto/schema and proto/records: change those. */\n#pragma once')
    out.append('#include "proto/wire.h"\n')
    for m in schema.messages:
        for s in m.sorted_structs():
            out.append(f'struct {s.c_name} {{')
            out += [f'    {c_member(s, f)}' for f in s.fields] or ['    char none; /* no fields */']
            out.append(f'}};\nextern const struct proto_type {s.c_name}_type;\n')
    out.append('/* X(key, name, version min, version max, stable max, flexible from, listeners) */')
    out.append('#define PROTO_APIS(X) \\')
    for a in schema.apis:
        first, last = versions(a['versions'])
        flexible = versions(a['flexible'])
        on = ' | '.join('PROTO_ON_' + x.upper() for x in a['listeners'].split(','))
        out.append(f'    X({a["key"]}, {a["name"]}, {first}, {last}, {a.get("stable", last)}, '
                   f'{FOREVER if flexible == NEVER else flexible[0]}, {on}) \\')
    out.append('\n/* X(topic, type, name) */\n#define PROTO_RECORDS(X) \\')
    out += [f'    X("{r["topic"]}", {r["type"]}, {r["name"]}) \\' for r in schema.records]
    out.append('\n/* Kafka\'s metadata records */\nenum proto_metadata_key {')
    out += [f'    METADATA_{m.c_name} = {key},' for key, m in schema.metadata]
    out.append('};')
    out.append('\nenum proto_api_key {')
    out += [f'    API_{a["name"]} = {a["key"]},' for a in schema.apis]
    out.append('};')


def write_tables(schema, out):
    out.append('/* Generated by proto/gen.py from proto/schema and proto/records: change those. */')
    out.append('#include "proto_gen.h"\n#include <stddef.h>\n')
    for m in schema.messages:
        for s in m.sorted_structs():
            if s.fields:
                out.append(f'static const struct proto_field {s.c_name}_fields[] = {{')
                out += [c_field(s, f) for f in s.fields]
                out.append('};')
            tags = sum(f.tagged != NEVER for f in s.fields)
            fields = f'{s.c_name}_fields' if s.fields else 'NULL'
            out.append(f'const struct proto_type {s.c_name}_type = {{"{s.c_name}", {fields}, sizeof(struct '
                       f'{s.c_name}), {len(s.fields)}, {m.size_min(s)}, {tags}, {{{m.versions[0]}, {m.versions[1]}}}, '
                       f'{{{m.flexible[0]}, {m.flexible[1]}}}}};\n')
    out.append('const struct proto_type *const proto_types[] = {')
    out += [f'    &{m.c_name}_type,' for m in schema.messages]
    out.append('};\nconst int proto_types_n = sizeof(proto_types) / sizeof(proto_types[0]);\n')
    out.append('#define ROW(k, nm, lo, hi, st, fl, on) \\\n    {.key = k, .name = #nm, .version_min = lo, .version_max = hi, '
               '.stable_max = st, .flexible_from = fl, \\\n     .listeners = on, .request = &nm##Request_type, '
               '.response = &nm##Response_type},')
    out.append('const struct proto_api proto_apis[] = {\n    PROTO_APIS(ROW)\n};')
    out.append('const int proto_apis_n = sizeof(proto_apis) / sizeof(proto_apis[0]);\n')
    out.append('#define RECORD_ROW(on, id, nm) \\\n    {.topic = on, .type = id, .name = #nm, .key = &nm##Key_type, '
               '.value = &nm##Value_type},')
    out.append('const struct proto_record proto_records[] = {\n    PROTO_RECORDS(RECORD_ROW)\n};')
    out.append('const int proto_records_n = sizeof(proto_records) / sizeof(proto_records[0]);\n')
    out.append('const struct proto_metadata proto_metadata[] = {')
    out += [f'    {{{key}, &{m.c_name}_type}},' for key, m in schema.metadata]
    out.append('};\nconst int proto_metadata_n = sizeof(proto_metadata) / sizeof(proto_metadata[0]);')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', required=True)
    parser.add_argument('folders', nargs='+')
    args = parser.parse_args()
    schema = Schema()
    for folder in args.folders:
        for name in sorted(os.listdir(folder)):
            if name.endswith('.msg'):
                schema.read(os.path.join(folder, name))
    schema.metadata.sort(key=lambda row: row[0])
    schema.apis.sort(key=lambda a: int(a['key']))
    schema.records.sort(key=lambda r: (r['topic'], int(r['type'])))
    if len({a['key'] for a in schema.apis}) != len(schema.apis):
        sys.exit('two APIs have the same key')
    os.makedirs(args.out, exist_ok=True)
    for name, write in (('proto_gen.h', write_header), ('proto_gen.c', write_tables)):
        lines = []
        try:
            write(schema, lines)
        except Bad as bad:
            sys.exit(f'schema: {bad}')
        with open(os.path.join(args.out, name), 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')


main()
