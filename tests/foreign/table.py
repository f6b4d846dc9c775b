"""A table of operations: each row runs one, compares what it gives, and is told as ok or FAILED."""

import traceback

_rows = []


def row(name):
    """Adds the decorated function to the table; it returns pairs of what was given and what is expected, or nothing."""

    def add(operation):
        _rows.append((name, operation))
        return operation

    return add


def equal(given, expected):
    if given != expected:
        raise AssertionError(f"{given!r} is not {expected!r}")


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def run(who="official Python clients"):
    """Runs all rows in order, tells about them under a name, and returns how many failed."""
    failed = 0
    for name, operation in _rows:
        try:
            operation()
            print(f"ok      {name}", flush=True)
        except Exception as error:  # a row that fails must not hide the others
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
            traceback.print_exc()
    print(f"{who}: {len(_rows) - failed} passed, {failed} failed", flush=True)
    return failed
