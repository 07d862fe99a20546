"""How the operator logs in to an Airflow: Secrets, read into logins, and an adapter for each access rule that has credentials of its own.

The access rules of one Airflow have an :class:`AccessLogins`. What is wrong with the credentials of one rule concerns the MLJobs under that rule,
and nobody else: the Airflow stays ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import SecretStr

from mljob_contract.airflow_instance import Credentials

from ...core.airflow_instance.credentials import Login, OAuth2Client, fits_header, unfit_headers
from ...core.status.airflow_instance import LoginProblem
from ...core.text.sentences import capitalised
from ...errors import (
    AirflowError,
    AirflowForbidden,
    AirflowInstanceNotReady,
    AirflowUnauthorized,
    AirflowUnavailable,
    AirflowUnreadable,
    AirflowUnsupported,
    InvalidCredentials,
    OperatorError,
    ReferenceMissing,
    SecretUnlabelled,
    StoreError,
)
from ...logs import redacted_logger
from ...ports import Airflow, InstanceStore

log = redacted_logger(__name__)

REASONS: tuple[tuple[type[OperatorError], str], ...] = (
    (SecretUnlabelled, "SecretUnlabelled"),
    (ReferenceMissing, "SecretMissing"),
    (InvalidCredentials, "InvalidCredentials"),
    (AirflowUnauthorized, "Unauthorized"),
    (AirflowForbidden, "Forbidden"),
    (AirflowUnsupported, "Unsupported"),
    (AirflowUnreadable, "NotAirflow"),
    (AirflowUnavailable, "Unreachable"),
)
"""Why an Airflow, or a login, can't be used, by what went wrong; anything else has its own reason."""


def reason(error: OperatorError) -> str:
    """The reason of a condition, by what went wrong."""
    return next((reason for kind, reason in REASONS if isinstance(error, kind)), error.reason)


class Logins:
    """Reads what credentials name.

    Args:
        store: Where the Secrets are.
        token_files: The folder of token files; None: there is none.
    """

    def __init__(self, store: InstanceStore, token_files: str | None = None) -> None:
        self._store = store
        self._token_files = token_files

    async def read(self, credentials: Credentials) -> Login:
        """What the Secrets hold.

        Raises:
            ReferenceMissing: A Secret is not there, may not be read, is not for Airflow, or lacks a key.
            InvalidCredentials: What they hold can't be sent.
            StoreError: The Kubernetes API fails.
        """
        login = await self._login(credentials)
        if (reference := credentials.headers_secret_ref) is None:
            return login
        headers = {name: value.strip() for name, value in (await self._store.secret(reference.name)).items()}
        if (why := unfit_headers(headers)) is not None:
            raise InvalidCredentials(f"Secret {reference.name} (credentials.headersSecretRef) can't be used: {why}.")
        return replace(login, headers=tuple((name, SecretStr(value)) for name, value in sorted(headers.items())))

    async def _login(self, credentials: Credentials) -> Login:
        source = credentials.source
        if (by_token := credentials.token_secret_ref) is not None:
            (token,) = (found.strip() for found in await self._values(by_token.name, by_token.key))
            if not fits_header(token):
                raise InvalidCredentials(
                    f"Key {by_token.key} of {source} (credentials) holds no token: it is empty, or has characters that can't be in an HTTP "
                    "header, such as a line break within it."
                )
            return Login(token=SecretStr(token), source=source)
        if (file := credentials.token_file) is not None:
            if self._token_files is None:
                raise InvalidCredentials(
                    f"credentials.tokenFile is {file.name}, and the operator has no folder of token files: see airflowInstances.tokenFiles in its "
                    "chart's values (MLJOB_AIRFLOW_TOKEN_FILES)."
                )
            return Login(token_file=f"{self._token_files.rstrip('/')}/{file.name}", source=source)
        if (oauth2 := credentials.oauth2) is not None:
            reference = oauth2.client_secret_ref
            client_id, secret = await self._values(reference.name, reference.client_id_key, reference.client_secret_key)
            client = OAuth2Client(
                client_id.strip(),
                SecretStr(secret),
                oauth2.token_url,
                oauth2.scopes,
                oauth2.audience,
                oauth2.client_authentication,
            )
            return Login(oauth2=client, source=source)
        by_password = credentials.password_secret_ref
        assert by_password is not None, "the model sees to it"
        user, password = await self._values(by_password.name, by_password.user_key, by_password.password_key)
        return Login(user.strip(), SecretStr(password), source=source)

    async def _values(self, secret: str, *keys: str) -> list[str]:
        data = await self._store.secret(secret)
        # An editor's newline at the end of a file is nobody's password.
        values = [data.get(key, "").rstrip("\r\n") for key in keys]
        if missing := [key for key, value in zip(keys, values, strict=True) if not value]:
            raise ReferenceMissing(
                f"Secret {secret} (credentials) has no key {' and no key '.join(missing)}; it has {', '.join(sorted(data)) or 'none'}."
            )
        return values


@dataclass(slots=True)
class _Account:
    """One login that access rules name.

    Attributes:
        made_of: Where the adapter leads, and what it logs in with.
        suspect: Whether Airflow did not take it when it was last used: it is tried again with each look, until Airflow does.
    """

    airflow: Airflow | None = None
    made_of: object = None
    suspect: bool = False
    problem: LoginProblem | None = None


class AccessLogins:
    """The logins of one Airflow's access rules.

    Args:
        read: Reads the Secret that credentials name.
    """

    def __init__(self, read: Callable[[Credentials], Awaitable[Login]]) -> None:
        self._read = read
        self._accounts: dict[Credentials, _Account] = {}

    @property
    def problems(self) -> Mapping[Credentials, LoginProblem | None]:
        """What is wrong with each login; None: nothing, as far as is known. One that has not been read yet is not there."""
        return {credentials: account.problem for credentials, account in self._accounts.items()}

    def airflow(self, credentials: Credentials) -> Airflow:
        """The Airflow for whoever has these credentials.

        Raises:
            AirflowInstanceNotReady: Their Secret has not been read yet.
            AirflowUnauthorized: They can't be used.
        """
        account = self._accounts.get(credentials)
        if account is not None and account.airflow is not None:
            return account.airflow
        if account is not None and account.problem is not None:
            raise AirflowUnauthorized(account.problem.message)
        raise AirflowInstanceNotReady(f"{capitalised(credentials.source)} has not been read yet.")

    def doubt(self, credentials: Credentials) -> None:
        """Airflow refused them, or did not answer: try them with the next look."""
        if (account := self._accounts.get(credentials)) is not None:
            account.suspect = True

    async def refresh(
        self, wanted: Iterable[Credentials], connect: Callable[[Login], Airflow], address: object, *, ask: bool
    ) -> None:
        """Read all Secrets anew, and try the logins that are suspect.

        Args:
            wanted: The credentials of all rules; others are forgotten.
            connect: Makes an adapter.
            address: What else than the login an adapter depends on.
            ask: Whether Airflow can be asked.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        known, found = self._accounts, {}
        for credentials in wanted:
            if credentials not in found:
                account = known.get(credentials) or _Account()
                await self._look(account, credentials, connect, address, ask=ask)
                found[credentials] = account
        # The adapters of those that are gone are left to whoever still waits for their answers.
        self._accounts = found

    async def _look(
        self,
        account: _Account,
        credentials: Credentials,
        connect: Callable[[Login], Airflow],
        address: object,
        *,
        ask: bool,
    ) -> None:
        try:
            login = await self._read(credentials)
            if account.airflow is None or account.made_of != (address, login):
                account.airflow, account.made_of = connect(login), (address, login)
            if not account.suspect:
                account.problem = None
            elif ask:
                await account.airflow.probe()
                account.suspect, account.problem = False, None
        except (AirflowUnauthorized, AirflowForbidden, InvalidCredentials, ReferenceMissing) as error:
            why = f"The credentials of the access rule ({credentials.source}) can't be used. {error}"
            account.problem = LoginProblem(reason(error), why)
        except AirflowError:
            # That the Airflow can't be reached is no news of the login.
            pass
        except StoreError:
            raise
        except Exception:
            # A defect that one rule brings to light is that rule's trouble, not that of the others.
            log.exception("credentials of an access rule (%s): unexpected error", credentials.source)
            why = f"The credentials of the access rule ({credentials.source}) can't be used: an unexpected error, which the operator's log has."
            account.problem = LoginProblem("AirflowError", why)

    async def close(self) -> None:
        """Let requests under way end."""
        airflows = [account.airflow for account in self._accounts.values() if account.airflow is not None]
        await asyncio.gather(*(airflow.close() for airflow in airflows))
