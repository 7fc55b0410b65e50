{{/* A rule for a store or the broker: {peers, port}. */}}
{{- define "headrace.peer" -}}
- ports: [{port: {{ .port }}, protocol: TCP}]
  {{- with .peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The public net, and the private places that are named. */}}
{{- define "headrace.publicNet" -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: {{ toJson .Values.networkPolicy.privateNetworks.v4 }}
    - ipBlock:
        cidr: ::/0
        except: {{ toJson .Values.networkPolicy.privateNetworks.v6 }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
