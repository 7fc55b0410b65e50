{{/* The pod of a runner: one of headrace.runners with "root" $ "once" false. */}}
{{- define "headrace.runnerPod" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $runner := .values }}
{{- $tls := $values.internalTls }}
metadata:
  labels:
    {{- include "headrace.labels" . | nindent 4 }}
  annotations:
    headrace/egress: {{ toJson $values.egress | sha256sum }}
    {{- with $runner.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "headrace.name" $root }}
  {{- include "headrace.podSecurity" $root | nindent 2 }}
  # Longer than the drain, so that runs under way are finished or handed back.
  terminationGracePeriodSeconds: {{ add (ceil $runner.drainSeconds) 20 }}
  {{- include "headrace.placing" . | nindent 2 }}
  {{- if .once }}
  restartPolicy: Never
  {{- end }}
  containers:
    - name: runner
      {{- include "headrace.container" $root | nindent 6 }}
      command: [with-secrets, python, -m, headrace_runner{{ if .once }}, --once{{ end }}]
      env:
        {{- include "headrace.commonEnv" . | nindent 8 }}
        - {name: HEADRACE_CONTROL_PLANE_URL, value: {{ include "headrace.internalUrl" $root | quote }}}
        - {name: HEADRACE_EGRESS_POLICY_FILE, value: /etc/headrace/egress.yaml}
        {{- if ne .pool "default" }}
        - {name: HEADRACE_POOL, value: {{ .pool | quote }}}
        {{- end }}
        {{- if not .once }}
        - {name: HEADRACE_CAPACITY, value: {{ $runner.capacity | quote }}}
        - {name: HEADRACE_HEALTH_HOST, value: 0.0.0.0}
        - {name: HEADRACE_HEALTH_PORT, value: "9090"}
        {{- end }}
        {{- if $tls.enabled }}
        - {name: HEADRACE_CONTROL_PLANE_CA_FILE, value: /run/tls-server/ca.crt}
        {{- if $tls.mutual }}
        - {name: HEADRACE_CLIENT_CERTIFICATE_FILE, value: /run/tls/tls.crt}
        - {name: HEADRACE_CLIENT_KEY_FILE, value: /run/tls/tls.key}
        {{- end }}
        {{- end }}
      {{- if not .once }}
      ports:
        - {name: health, containerPort: 9090}
      {{- include "headrace.healthProbes" (dict "port" "health" "readiness" "/ready") | nindent 6 }}
      {{- end }}
      resources:
        {{- toYaml $runner.resources | nindent 8 }}
      volumeMounts:
        {{- include "headrace.commonMounts" $root | nindent 8 }}
        - {name: egress, mountPath: /etc/headrace, readOnly: true}
        {{- if $tls.enabled }}
        - {name: tls-server, mountPath: /run/tls-server, readOnly: true}
        {{- if $tls.mutual }}
        - {name: tls, mountPath: /run/tls, readOnly: true}
        {{- end }}
        {{- end }}
  volumes:
    {{- include "headrace.commonVolumes" $root | nindent 4 }}
    {{- include "headrace.egressVolume" $root | nindent 4 }}
    {{- $files := list
          (dict "secret" .secrets.runnerBus "path" "HEADRACE_BUS_URL")
          (dict "secret" .secrets.runnerToken "path" "HEADRACE_RUNNER_TOKEN") }}
    {{- include "headrace.secretVolume" (dict "files" $files) | nindent 4 }}
    {{- if $tls.enabled }}
    # Of the server's Secret the authority alone, never its key.
    - name: tls-server
      secret:
        secretName: {{ $tls.serverSecret }}
        defaultMode: 0440
        items:
          - {key: ca.crt, path: ca.crt}
    {{- if $tls.mutual }}
    {{- include "headrace.tlsVolume" (dict "secret" $tls.clientSecret "keys" (list "tls.crt" "tls.key")) | nindent 4 }}
    {{- end }}
    {{- end }}
{{- end -}}
