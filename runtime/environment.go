package goresilient

import (
	"os"
	"strings"

	"github.com/goresilient/goresilient/runtime/policy"
)

// The two environment variables that operators may set. They are read once, when a client or a channel is made, and beat
// every other level.
const (
	// EnvTargetPrefix and the service's full name in capitals, with "_" for ".", name the variable that holds a service's
	// target: GORESILIENT_TARGET_ACME_INVENTORY_V1_INVENTORYSERVICE=dns:///inventory:443.
	EnvTargetPrefix = "GORESILIENT_TARGET_"
	// EnvPolicyFile names a PolicyDocument, in YAML or JSON, that overrides the policy of any service of the process.
	EnvPolicyFile = "GORESILIENT_POLICY_FILE"
)

// environment is where the variables are read from.
type environment struct {
	getenv   func(string) string
	readFile func(string) ([]byte, error)
}

func processEnvironment() environment { return environment{getenv: os.Getenv, readFile: os.ReadFile} }

// targetVariable returns the name of the variable that holds the target of a service.
func targetVariable(service string) string {
	return EnvTargetPrefix + strings.ToUpper(strings.ReplaceAll(service, ".", "_"))
}

// layers returns what the environment says of a service; what is wrong with it goes to s.
func (e environment) layers(service string, s *Settings) []policy.Layer {
	if e.getenv == nil {
		return nil
	}
	var layers []policy.Layer
	if name := e.getenv(EnvPolicyFile); name != "" {
		layers = e.document(name, service, s)
	}
	if service == "" {
		return layers
	}
	variable := targetVariable(service)
	if target := e.getenv(variable); target != "" {
		layers = append(layers, policy.Layer{Level: policy.LevelEnvironment, Source: variable, Service: &policy.Service{Target: &target}})
	}
	return layers
}

func (e environment) document(name, service string, s *Settings) []policy.Layer {
	data, err := e.readFile(name)
	if err != nil {
		s.fail("%s=%s: %w; name a readable policy document, or unset the variable", EnvPolicyFile, name, err)
		return nil
	}
	doc, err := policy.ParseDocument(name, data)
	if err != nil {
		s.fail("%s: %w", EnvPolicyFile, err)
		return nil
	}
	if err := doc.CheckOverride().Err(); err != nil {
		s.fail("%s: %w", EnvPolicyFile, err)
	}
	return doc.Layers(service, policy.LevelEnvironment)
}
