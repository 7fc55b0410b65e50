// Command chart renders a Helm chart with many sets of values and validates what comes of each, for tests.
//
// It reads a question on standard input, {chart, schemas, namespace, kubeVersion, sets: {name: values}}, and writes
// {name: {error, objects, invalid, lint}} on standard output. Helm's own engine renders, with the chart's schema
// checked; kubeconform validates each object against the JSON Schemas in the folder `schemas`. Nothing is fetched.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/yannh/kubeconform/pkg/validator"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/yaml"
)

type question struct {
	Chart       string                    `json:"chart"`
	Schemas     string                    `json:"schemas"`
	Namespace   string                    `json:"namespace"`
	KubeVersion string                    `json:"kubeVersion"`
	Sets        map[string]map[string]any `json:"sets"`
}

// answer says what came of one set of values. With Error, nothing was rendered.
type answer struct {
	Error   string           `json:"error,omitempty"`
	Objects []map[string]any `json:"objects,omitempty"`
	Invalid []string         `json:"invalid,omitempty"`
	Lint    []string         `json:"lint,omitempty"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("chart: ")
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	answers, err := ask(asked)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}

func ask(asked question) (map[string]answer, error) {
	// The libraries tell their warnings to the standard logger; what counts is in the answer.
	log.SetOutput(io.Discard)
	defer log.SetOutput(os.Stderr)
	version, err := chartutil.ParseKubeVersion(asked.KubeVersion)
	if err != nil {
		return nil, err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	template := filepath.Join(asked.Schemas, "{{ .ResourceKind }}{{ .KindSuffix }}.json")
	conform, err := validator.New([]string{template}, validator.Opts{Strict: true, KubernetesVersion: strings.TrimPrefix(asked.KubeVersion, "v")})
	if err != nil {
		return nil, err
	}
	answers := map[string]answer{}
	for name, values := range asked.Sets {
		loaded, err := loader.Load(asked.Chart)
		if err != nil {
			return nil, err
		}
		answers[name] = render(loaded, values, asked, capabilities, conform)
	}
	return answers, nil
}

func render(loaded *chart.Chart, values map[string]any, asked question, capabilities *chartutil.Capabilities, conform validator.Validator) answer {
	options := chartutil.ReleaseOptions{Name: "fleet", Namespace: asked.Namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(loaded, values, options, capabilities)
	if err != nil {
		return answer{Error: err.Error()}
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		return answer{Error: err.Error()}
	}
	var done answer
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".yaml") {
			done.take(name, files[name], conform)
		}
	}
	linter := lint.AllWithKubeVersion(asked.Chart, values, asked.Namespace, &capabilities.KubeVersion)
	for _, message := range linter.Messages {
		if message.Severity >= support.WarningSev {
			done.Lint = append(done.Lint, message.Error())
		}
	}
	return done
}

func (done *answer) take(name, text string, conform validator.Validator) {
	for _, document := range releaseutil.SplitManifests(text) {
		var object map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			done.Invalid = append(done.Invalid, fmt.Sprintf("%s: %v", name, err))
			continue
		}
		if object == nil {
			continue
		}
		done.Objects = append(done.Objects, object)
		for _, result := range conform.Validate(name, io.NopCloser(strings.NewReader(document))) {
			if result.Status != validator.Valid {
				done.Invalid = append(done.Invalid, fmt.Sprintf("%s: %v", name, result.Err))
			}
		}
	}
}
