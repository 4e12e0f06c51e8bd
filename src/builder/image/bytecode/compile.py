"""Compiles modules for another process, which has the sources: they are never run.

Answers on stdout: first the version, the cache tag and the magic number of this Python, then one `.pyc` file for each
request on stdin, empty if the source does not compile. A message is its length in four bytes, and its bytes. A request
is two messages: the path for tracebacks, and the source.
"""

import _frozen_importlib_external as importer
import _imp
import marshal
import sys
import warnings

# Sources can be written so that compiling them takes all memory of the machine.
MEMORY_LIMIT_BYTES = 2 << 30

try:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
except (ImportError, OSError, ValueError):
    # Not on every system. The time limit of the other process remains.
    pass

warnings.simplefilter("ignore")
requests, answers = sys.stdin.buffer, sys.stdout.buffer
magic = importer.MAGIC_NUMBER


def read(count):
    data = requests.read(count)
    if len(data) < count:
        sys.exit()
    return data


def message():
    return read(int.from_bytes(read(4), "little"))


def answer(data):
    answers.write(len(data).to_bytes(4, "little"))
    answers.write(data)
    answers.flush()


def pyc(path, source):
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    # PEP 552: the lowest bit says that a hash follows, the next one would ask for it to be checked.
    flags = (1).to_bytes(4, "little")
    return magic + flags + _imp.source_hash(int.from_bytes(magic, "little"), source) + marshal.dumps(code)


version = "%d.%d.%d" % sys.version_info[:3] if sys.version_info[3] == "final" else sys.version.split()[0]
answer(("%s %s %s" % (version, sys.implementation.cache_tag, magic.hex())).encode())
while True:
    path, source = message().decode(), message()
    try:
        compiled = pyc(path, source)
    except Exception:
        # Also templates, and code for another Python: pip leaves them out without a word too.
        compiled = b""
    answer(compiled)
    del path, source, compiled
