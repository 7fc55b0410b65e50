{{- define "headrace.controlPlaneEnv" -}}
{{- $tls := .Values.internalTls -}}
- {name: HEADRACE_LISTEN_HOST, value: 0.0.0.0}
- {name: HEADRACE_LISTEN_PORT, value: "8080"}
- {name: HEADRACE_INTERNAL_HOST, value: 0.0.0.0}
- {name: HEADRACE_INTERNAL_PORT, value: "8081"}
- {name: HEADRACE_LOG_RETENTION_DAYS, value: {{ toString .Values.logRetentionDays | quote }}}
- {name: HEADRACE_EGRESS_POLICY_FILE, value: /etc/headrace/egress.yaml}
{{- if .Values.operators.enabled }}
- {name: HEADRACE_OPERATOR_HOST, value: 0.0.0.0}
- {name: HEADRACE_OPERATOR_PORT, value: {{ .Values.operators.port | quote }}}
{{- end }}
{{- if .Values.secrets.masterKey }}
- {name: HEADRACE_KEY_FILE, value: /run/secrets/master_key}
{{- end }}
{{- if $tls.enabled }}
- {name: HEADRACE_INTERNAL_TLS_CERTIFICATE_FILE, value: /run/tls/tls.crt}
- {name: HEADRACE_INTERNAL_TLS_KEY_FILE, value: /run/tls/tls.key}
{{- if $tls.mutual }}
- {name: HEADRACE_INTERNAL_TLS_CLIENT_CA_FILE, value: /run/tls/ca.crt}
{{- end }}
{{- end }}
{{- with .Values.kms }}
{{- if .keyId }}
- {name: HEADRACE_KMS_KEY_ID, value: {{ .keyId | quote }}}
{{- with .region }}
- {name: HEADRACE_KMS_REGION, value: {{ . | quote }}}
{{- end }}
{{- with .endpoint }}
- {name: HEADRACE_KMS_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- range $name := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ $.Values.secrets.kms.name }}, key: {{ $name }}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
