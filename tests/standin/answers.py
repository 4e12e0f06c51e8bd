"""Values of unions, as the API answers them."""


def union(type_name, **fields):
    return {"__typename": type_name, **fields}


def python_error(message, stack=(), chain=()):
    links = [
        {"isExplicitLink": link.get("explicit", True), "error": python_error(link["message"], link.get("stack", ()))}
        for link in chain
    ]
    return union(
        "PythonError",
        message=message,
        className="DagsterUserCodeLoadError",
        stack=list(stack),
        cause=None,
        errorChain=links,
    )
