"""Read YAML texts as Dagster+'s own tools do: a JSON list of texts on stdin, a JSON list of answers on stdout.

An answer is `{"value": …}`, without nulls, or `{"error": …}` for what is no YAML or cannot be sent as JSON.
"""

import json
import sys

from dagster_shared.utils import remove_none_recursively
from dagster_shared.yaml_utils import safe_load_yaml


def answer(text):
    try:
        value = remove_none_recursively(safe_load_yaml(text))
        return {"value": json.loads(json.dumps(value, allow_nan=False))}
    except Exception as error:  # whatever stops the reader is a refusal
        return {"error": f"{type(error).__name__}: {error}"}


# Files are opened in text mode, which turns every kind of line end into \n.
texts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in json.load(sys.stdin)]
json.dump([answer(text) for text in texts], sys.stdout)
