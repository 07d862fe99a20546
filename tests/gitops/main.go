// Command gitops-health prints the health of MLJobs as GitOps tools compute it, with the libraries of these tools.
//
// kstatus and Flux are the tools' own code. Argo CD's code is a module with hundreds of dependencies, so this program
// uses its Lua runtime, with the libraries that Argo CD opens and its time limit of one second.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Verdict is the health of one object by one tool.
type Verdict struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: gitops-health OBJECTS_DIRECTORY HEALTH_LUA FLUX_KUSTOMIZATION")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(directory, luaFile, kustomizationFile string) error {
	script, err := os.ReadFile(luaFile)
	if err != nil {
		return err
	}
	flux, err := fluxReader(kustomizationFile)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(directory, "*.json"))
	if err != nil {
		return err
	}
	verdicts := map[string]map[string]Verdict{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(data); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		verdicts[strings.TrimSuffix(filepath.Base(file), ".json")] = map[string]Verdict{
			"kstatus": kstatus(object),
			"flux":    fluxHealth(flux, object),
			"argocd":  argoHealth(string(script), object),
		}
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func kstatus(object *unstructured.Unstructured) Verdict {
	result, err := status.Compute(object)
	if err != nil {
		return Verdict{"Unknown", err.Error()}
	}
	return Verdict{result.Status.String(), result.Message}
}

func fluxReader(file string) (engine.StatusReader, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &kustomization); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	reader, err := cel.NewStatusReader(kustomization.Spec.HealthCheckExprs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return reader(nil), nil
}

// fluxHealth computes the health as kustomize-controller does. An expression that can't be evaluated gives Unknown.
func fluxHealth(reader engine.StatusReader, object *unstructured.Unstructured) Verdict {
	found, err := reader.ReadStatusForObject(context.Background(), nil, object)
	if err != nil {
		return Verdict{"Unknown", err.Error()}
	}
	if found.Error != nil {
		return Verdict{found.Status.String(), found.Error.Error()}
	}
	return Verdict{found.Status.String(), found.Message}
}

// argoHealth computes the health as Argo CD does. An object that is being deleted is Progressing without the script,
// unless the object is a hook of a sync.
func argoHealth(script string, object *unstructured.Unstructured) Verdict {
	if object.GetDeletionTimestamp() != nil && !hasHookFinalizer(object) {
		return Verdict{"Progressing", "Pending deletion"}
	}
	found, err := runLua(script, object)
	if err != nil {
		return Verdict{"Unknown", err.Error()}
	}
	switch found.Status {
	case "Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown":
		return found
	}
	return Verdict{"Unknown", fmt.Sprintf("the script returned the status %q", found.Status)}
}

func hasHookFinalizer(object *unstructured.Unstructured) bool {
	for _, name := range object.GetFinalizers() {
		if name == "argocd.argoproj.io/hook-finalizer" {
			return true
		}
	}
	return false
}

func runLua(script string, object *unstructured.Unstructured) (Verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	// Argo CD opens no string, math or io, so a script that uses them fails there. Argo CD's reduced os is left out too.
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return Verdict{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", luaValue(state, object.Object))
	if err := state.DoString(script); err != nil {
		return Verdict{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return Verdict{}, fmt.Errorf("the script returned a %s, not a table", state.Get(-1).Type())
	}
	verdict := Verdict{Status: lua.LVAsString(table.RawGetString("status"))}
	switch message := table.RawGetString("message").(type) {
	case lua.LString:
		verdict.Message = string(message)
	case *lua.LNilType:
	default:
		return Verdict{}, fmt.Errorf("the script returned a %s as its message", message.Type())
	}
	return verdict, nil
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(luaValue(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, luaValue(state, item))
		}
		return table
	}
	return lua.LNil
}
