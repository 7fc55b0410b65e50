{{/* Every Deployment or ScaledJob of runners as JSON: the default pool's, then those of `runnerPools`, which have of the
     default's what they do not say themselves. */}}
{{- define "headrace.runners" -}}
{{- $values := .Values }}
{{- $all := list (dict "component" "runner" "pool" "default" "values" $values.runner "scaling" $values.autoscaling
      "secrets" (pick $values.secrets "runnerBus" "runnerToken")) }}
{{- range $pool, $own := $values.runnerPools }}
{{- $all = append $all (dict "component" (printf "runner-%s" $pool) "pool" $pool
      "values" (mergeOverwrite (deepCopy $values.runner) (omit $own "autoscaling" "secrets"))
      "scaling" (mergeOverwrite (deepCopy $values.autoscaling) ($own.autoscaling | default dict))
      "secrets" (mergeOverwrite (deepCopy (pick $values.secrets "runnerBus" "runnerToken")) ($own.secrets | default dict))) }}
{{- end }}
{{- toJson $all }}
{{- end -}}
