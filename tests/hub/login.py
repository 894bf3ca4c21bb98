"""Login at the local Hub: OpenID Connect, as a Space uses it. Every login succeeds, as the visitor that is set:

    hub.visitor = Token(user="me")

The hub knows the access token from then on. `request_of` is a request of somebody who has logged in before.
"""

import secrets
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.hub.answers import Call, route
from tests.hub.contents import Answer, Refusal

CLIENT = {
    "OAUTH_CLIENT_ID": "a-space",
    "OAUTH_CLIENT_SECRET": "its-secret",
    "OAUTH_SCOPES": "openid profile contribute-repos jobs",
}
_KEY = RSAKey.generate_key(2048, {"kid": "1"}, auto_kid=False)
_logins: dict[str, dict[str, str]] = {}


def request_of(user: str, *orgs: tuple[str, str], seconds: float = 3600, scope: str | None = None) -> SimpleNamespace:
    """Make a request, as Gradio has it, of a visitor whose token is `hf_USER`. `scope`: what they have allowed."""
    organisations = [{"preferred_username": name, "roleInOrg": role} for name, role in orgs]
    info: dict[str, Any] = {"access_token": f"hf_{user}", "expires_at": time.time() + seconds}
    info |= {"userinfo": {"preferred_username": user, "orgs": organisations}} | ({"scope": scope} if scope else {})
    return SimpleNamespace(request=SimpleNamespace(scope={"session": {"oauth_info": info}}))


@route("GET", "/.well-known/openid-configuration")
def configuration(call: Call) -> Any:
    here = call.hub.url
    return {
        "issuer": here,
        "authorization_endpoint": f"{here}/oauth/authorize",
        "token_endpoint": f"{here}/oauth/token",
        "userinfo_endpoint": f"{here}/oauth/userinfo",
        "jwks_uri": f"{here}/oauth/jwks",
        "id_token_signing_alg_values_supported": ["RS256"],
    }


@route("GET", "/oauth/jwks")
def keys(call: Call) -> Any:
    return {"keys": [_KEY.as_dict(private=False)]}


@route("GET", "/oauth/authorize")
def authorize(call: Call) -> Answer:
    """Redirect back at once, with a code that is valid for one login."""
    if call.query["client_id"] != CLIENT["OAUTH_CLIENT_ID"]:
        raise Refusal(400, "unknown client")
    code = secrets.token_hex(8)
    _logins[code] = call.query
    back = urlencode({"code": code, "state": call.query["state"]})
    target = call.query["redirect_uri"]
    return Answer(302, b"", {"Location": f"{target}{'&' if '?' in target else '?'}{back}"})


@route("POST", "/oauth/token")
def token(call: Call) -> Any:
    form = dict(parse_qsl(call.body.decode()))
    login = _logins.pop(form.get("code", ""), None)
    if login is None or login["redirect_uri"] != form["redirect_uri"]:
        raise Refusal(400, "invalid grant")
    visitor, scopes = call.hub.visitor, login["scope"].split()
    access = f"hf_oauth_{secrets.token_hex(8)}"
    call.hub.tokens[access] = replace(visitor, by_login=True, jobs=visitor.jobs and "jobs" in scopes)
    orgs = [{"preferred_username": name, "roleInOrg": "write"} for name in visitor.orgs]
    claims = {
        "iss": call.hub.url,
        "sub": visitor.user,
        "aud": login["client_id"],
        "iat": int(time.time()),
        "exp": int(time.time()) + 3600,
        "nonce": login.get("nonce"),
        "name": visitor.user,
        "preferred_username": visitor.user,
        "profile": f"{call.hub.url}/{visitor.user}",
        "image": "",
        "orgs": orgs,
    }
    identity = jwt.encode({"alg": "RS256", "kid": "1"}, claims, _KEY)
    granted = {"access_token": access, "token_type": "bearer", "expires_in": 3600, "scope": login["scope"]}
    return granted | {"id_token": identity}
