"""The capability's REST interface: workflows and image requests in, the service's own JSON out.

app.py holds the routes, requests.py what they read, problems.py the errors, metrics.py what is
counted, readiness.py whether it can work, openapi.py the OpenAPI document and docs.py the page that
shows it.
"""

from __future__ import annotations

try:
    import fastapi  # noqa: F401
    import prometheus_client  # noqa: F401
    import uvicorn  # noqa: F401
except ModuleNotFoundError as missing:
    from civitai_skill.errors import ConfigError, from_clone

    raise ConfigError(f"{missing.name} is not installed.", advice=from_clone("rest")) from missing
