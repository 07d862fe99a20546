"""Reads credentials from Secrets, and creates the adapters for access rules with credentials.

An access rule lets namespaces run DAGs in an Airflow. An access rule can have credentials of its
own. An adapter is a client of an Airflow's REST API. If the credentials of one access rule can't be
used, only the MLJobs of this rule wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
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

TEST_SECONDS = 1.0
"""The longest time in seconds for which a refresh waits for the tests of suspect logins. Airflow may
take many seconds to answer, and the next probe of the AirflowInstance must not wait for that.
"""
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
"""The reason in a condition for an error, by the class of the error. The first class that fits
decides. For all other errors, the error's own reason is used.
"""


def reason(error: OperatorError) -> str:
    """Return the ``reason`` for a condition that reports ``error``, in CamelCase."""
    return next((reason for kind, reason in REASONS if isinstance(error, kind)), error.reason)


class Logins:
    """Reads logins for Airflow's REST API. :class:`.Credentials` name the Secrets of a login, or a
    token file. A :class:`.Login` has the values from the Secrets, or the path of the token file.

    Args:
        store: Reads the Secrets.
        token_files: The folder of token files. None if credentials can't name token files.
    """

    def __init__(self, store: InstanceStore, token_files: str | None = None) -> None:
        self._store = store
        self._token_files = token_files

    async def read(self, credentials: Credentials) -> Login:
        """Read the Secrets of the credentials, and return the login.

        Raises:
            ReferenceMissing: A Secret does not exist, lacks the label for Airflow's credentials, or
                lacks a key that the credentials name. Or the API server refuses the request.
            InvalidCredentials: The token or the headers can't be sent in an HTTP request. Or the
                credentials name a token file, but there is no folder of token files.
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
                    f"credentials.tokenFile is {file.name}, but the operator has no folder of token files: see airflowInstances.tokenFiles in its "
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
        # The Secret may have been made from a file to which an editor added a newline at the end.
        # The newline is not part of the password.
        values = [data.get(key, "").rstrip("\r\n") for key in keys]
        if missing := [key for key, value in zip(keys, values, strict=True) if not value]:
            raise ReferenceMissing(
                f"Secret {secret} (credentials) has no key {' and no key '.join(missing)}; it has {', '.join(sorted(data)) or 'none'}."
            )
        return values


@dataclass(slots=True)
class _Account:
    """The adapter for one set of credentials, which several access rules may share.

    Attributes:
        airflow: The adapter. None until the login was read for the first time.
        adapter_inputs: The URL, the TLS settings and the login of the adapter.
        suspect: Whether a request with the login has failed, and no refresh has tried the login
            with success since.
        problem: The reason why the login can't be used, or None.
        test: Tries the login of ``airflow``. None if this login was not tried yet.
    """

    airflow: Airflow | None = None
    adapter_inputs: object = None
    suspect: bool = False
    problem: LoginProblem | None = None
    test: asyncio.Task[None] | None = None


class AccessLogins:
    """The logins of one Airflow's access rules, with an adapter for each login.

    Args:
        read: Reads the login for credentials (:meth:`Logins.read`).
    """

    def __init__(self, read: Callable[[Credentials], Awaitable[Login]]) -> None:
        self._read = read
        self._accounts: dict[Credentials, _Account] = {}
        self._tests: set[asyncio.Task[None]] = set()

    @property
    def problems(self) -> Mapping[Credentials, LoginProblem | None]:
        """The problem of each login, by credentials. None for a login without a problem.

        Credentials are left out until a :meth:`refresh` with these credentials has returned.
        """
        return {credentials: account.problem for credentials, account in self._accounts.items()}

    @property
    def airflows(self) -> Collection[Airflow]:
        """The adapters of all logins that could be read."""
        return [account.airflow for account in self._accounts.values() if account.airflow is not None]

    def airflow(self, credentials: Credentials) -> Airflow:
        """Return the adapter for these credentials.

        Raises:
            AirflowInstanceNotReady: No :meth:`refresh` with these credentials has returned yet.
            AirflowUnauthorized: No :meth:`refresh` could read the login. The message says
                what was wrong at the last refresh.
        """
        account = self._accounts.get(credentials)
        if account is not None and account.airflow is not None:
            return account.airflow
        if account is not None and account.problem is not None:
            raise AirflowUnauthorized(account.problem.message)
        raise AirflowInstanceNotReady(f"{capitalised(credentials.source)} has not been read yet.")

    def mark_suspect(self, credentials: Credentials) -> None:
        """Record that a request with this login has failed. A later :meth:`refresh` with
        ``ask=True`` then tries the login.
        """
        if (account := self._accounts.get(credentials)) is not None:
            account.suspect = True

    async def refresh(
        self, all_credentials: Iterable[Credentials], connect: Callable[[Login], Airflow], address: object, *, ask: bool
    ) -> None:
        """Read all logins again, and create adapters for new and changed logins. If ``ask`` is
        true, also try the suspect logins, all at the same time, with a request to Airflow. This
        method waits ``TEST_SECONDS`` (1) for the results. A later result counts from the next
        refresh on.

        A login is suspect if a request with the login has failed (:meth:`mark_suspect`). If a login
        can't be used, the reason is in :attr:`problems`, and no error is raised.

        Args:
            all_credentials: The credentials of all access rules. Other logins are dropped.
            connect: Creates the adapter for a login.
            address: The URL and the TLS settings of the Airflow. If the address has changed since
                the last refresh, all logins get new adapters.
            ask: Whether to try the suspect logins.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        before, found = self._accounts, {}
        for credentials in all_credentials:
            if credentials not in found:
                account = before.get(credentials) or _Account()
                with self._errors_of(account, credentials):
                    login = await self._read(credentials)
                    if account.airflow is None or account.adapter_inputs != (address, login):
                        account.airflow, account.adapter_inputs = connect(login), (address, login)
                        account.test = None
                    if not account.suspect:
                        account.problem = None
                    elif ask and (account.test is None or account.test.done()):
                        account.test = self._start_test(account, credentials, account.airflow)
                found[credentials] = account
        # The adapters of dropped logins are not closed, because callers may still wait for their
        # answers.
        self._accounts = found
        tests = [account.test for account in found.values() if account.test is not None and not account.test.done()]
        if tests:
            await asyncio.wait(tests, timeout=TEST_SECONDS)

    def _start_test(self, account: _Account, credentials: Credentials, airflow: Airflow) -> asyncio.Task[None]:
        task = asyncio.create_task(self._test(account, credentials, airflow))
        self._tests.add(task)
        task.add_done_callback(self._tests.discard)
        return task

    async def _test(self, account: _Account, credentials: Credentials, airflow: Airflow) -> None:
        error: Exception | None = None
        try:
            await airflow.probe()
        except Exception as failure:
            error = failure
        if account.airflow is not airflow:
            # The login has changed meanwhile.
            return
        with self._errors_of(account, credentials):
            if error is not None:
                raise error
            account.suspect, account.problem = False, None

    @contextmanager
    def _errors_of(self, account: _Account, credentials: Credentials) -> Iterator[None]:
        """Run a block that reads or tests a login. If the block raises an error, record the problem
        of the login. Only a StoreError leaves the block.
        """
        try:
            yield
        except (AirflowUnauthorized, AirflowForbidden, InvalidCredentials, ReferenceMissing) as error:
            why = f"The credentials of the access rule ({credentials.source}) can't be used. {error}"
            account.problem = LoginProblem(reason(error), why)
        except AirflowError:
            # Airflow did not answer, which says nothing about the login.
            pass
        except StoreError:
            raise
        except Exception:
            # A defect with the credentials of one rule must not affect the other rules.
            log.exception("credentials of an access rule (%s): unexpected error", credentials.source)
            why = f"The credentials of the access rule ({credentials.source}) can't be used: unexpected error, see the operator's log."
            account.problem = LoginProblem("AirflowError", why)

    async def close(self) -> None:
        """Close the adapters. Wait for requests that are being sent, and drop queued requests."""
        for test in self._tests:
            test.cancel()
        await asyncio.gather(*self._tests, return_exceptions=True)
        airflows = [account.airflow for account in self._accounts.values() if account.airflow is not None]
        await asyncio.gather(*(airflow.close() for airflow in airflows))
