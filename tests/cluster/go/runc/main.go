// runc on a machine that itself lacks CAP_SYS_RESOURCE: it never asks for that capability, nor for
// an OOM score that needs it. Everything else is runc's own.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

const missing = "CAP_SYS_RESOURCE"

func main() {
	for i, argument := range os.Args[:len(os.Args)-1] {
		value := os.Args[i+1]
		switch argument {
		case "--bundle": // create, run: the container's configuration
			edit(filepath.Join(value, "config.json"), "process")
		case "--process": // exec: the process alone
			edit(value, "")
		}
	}
	runc, err := exec.LookPath("runc")
	stopOn(err)
	stopOn(syscall.Exec(runc, append([]string{"runc"}, os.Args[1:]...), os.Environ()))
}

func edit(path, field string) {
	text, err := os.ReadFile(path)
	stopOn(err)
	var file map[string]any
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber() // a limit of 2^64-1 is no float64
	stopOn(numbers.Decode(&file))
	process := file
	if field != "" {
		process, _ = file[field].(map[string]any)
	}
	sets, _ := process["capabilities"].(map[string]any)
	for name, set := range sets {
		sets[name] = without(set)
	}
	delete(process, "oomScoreAdj")
	text, err = json.Marshal(file)
	stopOn(err)
	stopOn(os.WriteFile(path, text, 0o600))
}

func without(set any) []any {
	kept := []any{}
	names, _ := set.([]any)
	for _, name := range names {
		if name != missing {
			kept = append(kept, name)
		}
	}
	return kept
}

func stopOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "runc wrapper:", err)
		os.Exit(1)
	}
}
