"""Values of the chart that become variables and volumes of the operator's container."""

from __future__ import annotations

from typing import Any

from tests.chart.rendering import merged

KAFKA = {"bootstrapServers": "kafka-0:9092,kafka-1:9092"}
SASL = KAFKA | {"securityProtocol": "SASL_SSL", "sasl": {"existingSecret": "kafka-user"}}
EVERYTHING: dict[str, Any] = {
    "airflow": {
        "url": "https://airflow.example",
        "uiUrl": "https://ui.example",
        "acceptVanishedRunsBefore": "2026-01-31T12:00:00Z",
        "existingSecret": "airflow-credentials",
        "tls": {"ca": {"existingSecret": "airflow-ca"}},
        "access": [{"dags": ["train_*"]}],
        "reservedDags": ["ops_*", "restore"],
    },
    "kafka": merged(
        SASL,
        {
            "deadLetterTopic": "dead",
            "tls": {
                "ca": {"existingSecret": "kafka-ca"},
                "client": {"existingSecret": "kafka-client", "privateKeyPasswordKey": "key-password"},
            },
            "extraConfig": {"socket.timeout.ms": 30000, "socket.keepalive.enable": True, "client.id": "mljob"},
            "extraConfigSecret": {"existingSecret": "kafka-extra"},
        },
    ),
    "operator": {"namespaces": ["team-a", "team-b"]},
}
"""Values of Airflow, Kafka and the namespaces that can be set at the same time. The login at
Airflow is a user name and a password. The values of the other logins are WITH_TOKEN,
WITH_TOKEN_FILE and WITH_OAUTH2.
"""

OIDC = merged(
    SASL,
    {
        "sasl": {
            "mechanism": "OAUTHBEARER",
            "oauth": {
                "method": "OIDC",
                "oidc": {
                    "tokenEndpoint": "https://login.example/token",
                    "scope": "kafka",
                    "extensions": "logicalCluster=lkc-1,identityPoolId=pool-1",
                    "ca": {"existingSecret": "login-ca"},
                },
            },
        }
    },
)
MSK = KAFKA | {
    "securityProtocol": "SASL_SSL",
    "sasl": {"mechanism": "OAUTHBEARER", "oauth": {"method": "MSK_IAM", "awsRegion": "eu-west-1"}},
}

CA = [{"key": "ca.crt", "path": "ca.crt"}]


WITH_TOKEN = {"airflow": {"existingSecret": "creds", "auth": "Token"}}
WITH_TOKEN_FILE = {
    "airflow": {"existingSecret": "creds", "auth": "TokenFile"},
    "airflowInstances": {"tokenFiles": "/var/run/tokens"},
}
WITH_OAUTH2 = {
    "airflow": {
        "existingSecret": "creds",
        "auth": "OAuth2",
        "oauth2": {"tokenUrl": "https://login.example.com/token", "scopes": ["airflow"], "audience": "ml"},
    }
}
