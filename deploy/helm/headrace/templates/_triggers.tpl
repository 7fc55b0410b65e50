{{/* Values in a trigger's metadata are texts. `pool` is whose runs are counted. */}}
{{- define "headrace.queueTrigger" -}}
- type: rabbitmq
  name: queue
  metadata:
    protocol: {{ .root.Values.autoscaling.queue.protocol }}
    queueName: {{ printf "%sjobs%s" .root.Values.busNamespace (eq .pool "default" | ternary "" (printf ".%s" .pool)) | quote }}
    mode: QueueLength
    value: {{ toString .value | quote }}
  authenticationRef:
    name: {{ include "headrace.name" .root }}-scaler
{{- end -}}

{{- define "headrace.figureTrigger" -}}
- type: metrics-api
  name: {{ .figure | replace "_" "-" }}
  metadata:
    url: {{ include "headrace.scalingUrl" .root | quote }}
    valueLocation: {{ printf "pools.%s.%s" .pool .figure }}
    targetValue: {{ toString .value | quote }}
{{- end -}}
