"""Rules with the names and attributes of rules_python's, as little as the tests of BUILD need, without any download."""

Files = provider(fields = ["files"])

def _files(ctx):
    return depset(ctx.files.srcs + ctx.files.data, transitive = [dep[Files].files for dep in ctx.attr.deps])

def _library(ctx):
    files = _files(ctx)
    return [DefaultInfo(files = files, runfiles = ctx.runfiles(transitive_files = files)), Files(files = files)]

# A program runs in a copy of what it declares: runfiles are links, and whoever resolves one finds the whole repository.
_SCRIPT = """#!/bin/sh
set -e
copy="${TEST_TMPDIR:-$(mktemp -d)}/declared"
cp -rL . "$copy"
cd "$copy"
export PYTHONPATH="$copy" PYTHONDONTWRITEBYTECODE=1
exec "$KOMPAKT_PYTHON" %s "$@"
"""

def _program(ctx):
    files = _files(ctx)
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(script, _SCRIPT % ctx.file.main.short_path, is_executable = True)
    return [DefaultInfo(executable = script, runfiles = ctx.runfiles(transitive_files = files))]

_ATTRIBUTES = {
    "srcs": attr.label_list(allow_files = True),
    "data": attr.label_list(allow_files = True),
    "deps": attr.label_list(providers = [Files]),
    "imports": attr.string_list(),
}

_OF_PROGRAMS = dict(_ATTRIBUTES, main = attr.label(allow_single_file = True))

py_library = rule(implementation = _library, attrs = _ATTRIBUTES)
py_binary = rule(implementation = _program, attrs = _OF_PROGRAMS, executable = True)
py_test = rule(implementation = _program, attrs = _OF_PROGRAMS, test = True)
