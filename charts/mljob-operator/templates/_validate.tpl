{{/*
What values.schema.json cannot say, or could only say in words that help nobody: each refusal is a sentence which
names the value and what to do about it.
*/}}
{{- define "mljob-operator.validate" -}}

{{- if not .Values.image.repository }}
{{- fail "image.repository is not set, and there is no public image of the operator: build one from the repository (docker build -t registry.example.com/mljob-operator:0.1.0 .), push it, and give its name, for example --set image.repository=registry.example.com/mljob-operator" }}
{{- end }}

{{- $url := .Values.airflow.url }}
{{- if not (or $url (include "mljob-operator.instances" .)) }}
{{- fail "airflow.url is not set, and airflowInstances are not looked after: give the address of Airflow's API server as a Pod of this cluster reaches it, for example --set airflow.url=http://airflow-api-server.airflow:8080, or --set airflowInstances.enabled=true" }}
{{- end }}
{{- if and .Values.airflow.existingSecret (not $url) }}
{{- fail "airflow.existingSecret is set, but airflow.url is not: credentials of AirflowInstances are named in their spec.credentials" }}
{{- end }}
{{- if and (kindIs "slice" .Values.airflow.access) (not $url) }}
{{- fail "airflow.access is set, but airflow.url is not: access rules of an AirflowInstance are in its spec.access" }}
{{- end }}
{{- range .Values.airflow.access }}
{{- if and (hasKey . "credentials") (not (include "mljob-operator.instances" $)) }}
{{- fail "airflow.access has a rule with credentials, but the operator may read no Secret: set airflowInstances.enabled to true" }}
{{- end }}
{{- end }}
{{- if regexMatch "/api(/v[0-9]+)?/?$" $url }}
{{- fail (printf "airflow.url is %s: leave out /api and what follows, the operator adds it" $url) }}
{{- end }}
{{- if regexMatch "^https?://[^/]*@" $url }}
{{- fail "airflow.url holds credentials, which everyone who may read Deployments would see: put them into a Secret and name it in airflow.existingSecret" }}
{{- end }}
{{- if and .Values.airflow.tls.ca.existingSecret (not (hasPrefix "https://" $url)) }}
{{- fail (printf "airflow.tls.ca.existingSecret is set, but airflow.url is %s: a CA is of use only with https://" $url) }}
{{- end }}

{{- $protocol := .Values.kafka.securityProtocol }}
{{- $sasl := include "mljob-operator.kafkaSasl" . }}
{{- $msk := include "mljob-operator.kafkaMsk" . }}
{{- if and $sasl (not $msk) (not .Values.kafka.sasl.existingSecret) }}
{{- fail (printf "kafka.securityProtocol is %s, but kafka.sasl.existingSecret is not set: name the Secret which holds the password" $protocol) }}
{{- end }}
{{- if and .Values.kafka.sasl.existingSecret (not $sasl) }}
{{- fail (printf "kafka.sasl.existingSecret is set, but kafka.securityProtocol is %s: set it to SASL_SSL or SASL_PLAINTEXT, or remove the Secret" $protocol) }}
{{- end }}
{{- $oauth := .Values.kafka.sasl.oauth }}
{{- if and $sasl (eq .Values.kafka.sasl.mechanism "OAUTHBEARER") (not $oauth.method) }}
{{- fail "kafka.sasl.mechanism is OAUTHBEARER, but kafka.sasl.oauth.method is not set: set it to OIDC or MSK_IAM, where the tokens come from" }}
{{- end }}
{{- if and $oauth.method (not (and $sasl (eq .Values.kafka.sasl.mechanism "OAUTHBEARER"))) }}
{{- fail (printf "kafka.sasl.oauth.method is %s, but kafka.securityProtocol is %s and kafka.sasl.mechanism %s: set them to SASL_SSL and OAUTHBEARER, or leave it out" $oauth.method $protocol .Values.kafka.sasl.mechanism) }}
{{- end }}
{{- if and (eq $oauth.method "OIDC") (not $oauth.oidc.tokenEndpoint) }}
{{- fail "kafka.sasl.oauth.method is OIDC, but kafka.sasl.oauth.oidc.tokenEndpoint is not set: give the URL of the provider's token endpoint" }}
{{- end }}
{{- if and (eq $oauth.method "MSK_IAM") (not $oauth.awsRegion) }}
{{- fail "kafka.sasl.oauth.method is MSK_IAM, but kafka.sasl.oauth.awsRegion is not set: give the AWS region of the brokers" }}
{{- end }}
{{- range $name, $_ := .Values.kafka.extraConfig }}
{{- if regexMatch "password|secret|passphrase|key\\.pem$" $name }}
{{- fail (printf "kafka.extraConfig has %s, which everyone who may read Deployments would see: put it into a Secret and name that in kafka.extraConfigSecret.existingSecret" $name) }}
{{- end }}
{{- end }}
{{- if and .Values.kafka.tls.client.privateKeyPasswordKey (not .Values.kafka.tls.client.existingSecret) }}
{{- fail "kafka.tls.client.privateKeyPasswordKey is set, but kafka.tls.client.existingSecret is not: name the Secret which holds the key and its password" }}
{{- end }}
{{- range $part := list "ca" "client" }}
{{- if and (index $.Values.kafka.tls $part "existingSecret") (not (include "mljob-operator.kafkaTls" $)) }}
{{- fail (printf "kafka.tls.%s.existingSecret is set, but kafka.securityProtocol is %s: set it to SSL or SASL_SSL, or remove the Secret" $part $protocol) }}
{{- end }}
{{- end }}

{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false, but serviceAccount.name is not set: name the ServiceAccount which the operator is to run as" }}
{{- end }}
{{- end }}
