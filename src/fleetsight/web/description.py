"""The OpenAPI description: what the routes say, and what they all have in common."""

from typing import Any

from fastapi import FastAPI

from fleetsight.web.gate.cookies import OPERATOR_COOKIE, SHOPPER_COOKIE
from fleetsight.web.problems import ProblemBody

_SCHEMES: dict[str, dict[str, Any]] = {
    "deviceJwt": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "EdDSA by the device's key; header kid; claims iss, aud fleetsight, iat, exp (at most 60 s), jti (once), "
        "body_sha256 (hexadecimal SHA-256 of the raw body)",
    },
    "shopperToken": {"type": "http", "scheme": "bearer"},
    "shopperCookie": {"type": "apiKey", "in": "cookie", "name": SHOPPER_COOKIE},
    "operatorToken": {"type": "http", "scheme": "bearer"},
    "operatorCookie": {"type": "apiKey", "in": "cookie", "name": OPERATOR_COOKIE},
}
_FROM_FRAMEWORK = ("HTTPValidationError", "ValidationError")


class DescribedApp(FastAPI):
    """An app whose description is completed when it is asked for."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once.

        Returns:
            OpenAPI 3.1: what FastAPI knows, with credentials and the one form of refusals.
        """
        schema = super().openapi()
        components = schema.setdefault("components", {})
        if "securitySchemes" not in components:
            components["securitySchemes"] = _SCHEMES
            schemas = components.setdefault("schemas", {})
            problem = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= problem.pop("$defs", {})
            schemas["ProblemBody"] = problem
            for name in _FROM_FRAMEWORK:
                schemas.pop(name, None)
        return schema
