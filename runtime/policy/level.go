package policy

import (
	"strconv"
	"strings"
)

// Level is where a policy value was written. Of two levels the later one wins.
type Level int

const (
	// LevelDefault is built in.
	LevelDefault Level = iota
	// LevelFile is the option (goresilient.v1.file).
	LevelFile
	// LevelService is the option (goresilient.v1.service).
	LevelService
	// LevelMethod is the option (goresilient.v1.method).
	LevelMethod
	// LevelServiceConfig is the resolver's gRPC service config.
	LevelServiceConfig
	// LevelOption is a Go option of the client or the channel.
	LevelOption
	// LevelOverride is a watched policy document.
	LevelOverride
	// LevelEnvironment is an environment variable.
	LevelEnvironment
)

// String returns the level in words: "built-in default", "file", "service", "method", "service config", "Go option",
// "override" or "environment".
func (l Level) String() string {
	switch l {
	case LevelDefault:
		return "built-in default"
	case LevelFile:
		return "file"
	case LevelService:
		return "service"
	case LevelMethod:
		return "method"
	case LevelServiceConfig:
		return "service config"
	case LevelOption:
		return "Go option"
	case LevelOverride:
		return "override"
	case LevelEnvironment:
		return "environment"
	default:
		return "level " + strconv.Itoa(int(l))
	}
}

// Lines gives the line of each written field by its path, counted from 1. The key "" is the line for what has no key
// of its own: a compiler that knows only where a statement begins gives nothing else.
type Lines map[string]int

// of returns the line of path, or of the nearest message around it.
func (l Lines) of(path string) int {
	for {
		if n, ok := l[path]; ok {
			return n
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return l[""]
		}
		path = path[:i]
	}
}

// Layer is what one level says of a service.
type Layer struct {
	// Level is the level.
	Level Level
	// Source is the file or the key that it was written in, e.g., "acme/inventory/v1/inventory.proto".
	Source string
	// Service is the policy of the service; its MethodDefaults are inherited by each RPC.
	Service *Service
	// Lines has the lines of Service.
	Lines Lines
	// Methods is the policy written on an RPC itself, by the name of the RPC.
	Methods map[string]*Method
	// MethodLines has the lines of Methods.
	MethodLines map[string]Lines
}

// Origin is where a value in force was written.
type Origin struct {
	// Level is the level that won.
	Level Level
	// Source is the file or the key; "" if unknown.
	Source string
	// Line counts from 1; 0 if unknown.
	Line int
}

// String returns, e.g., "service, acme/inventory/v1/inventory.proto:14".
func (o Origin) String() string {
	if o.Source == "" {
		return o.Level.String()
	}
	s := o.Level.String() + ", " + o.Source
	if o.Line > 0 {
		s += ":" + strconv.Itoa(o.Line)
	}
	return s
}

// Origins is the origin of each value in force, by path.
type Origins map[string]Origin

// Stack is every layer of a service, lowest level first.
type Stack []Layer

// Service returns the merged policy of the service and where each value is from. Fields that no layer sets stay nil;
// [Complete] fills in the defaults.
func (s Stack) Service() (*Service, Origins) {
	merged := new(Service)
	written := make(Origins)
	for _, l := range s {
		merged = Merge(merged, l.Service)
		written.note(l, l.Service, l.Lines, "")
	}
	return merged, written.only(merged)
}

// Method returns the merged policy of one RPC, where each value is from, and what r inherits but must not get.
func (s Stack) Method(name string, r RPC) (*Method, Origins, []Withheld) {
	merged := new(Method)
	written := make(Origins)
	for _, l := range s {
		if l.Service != nil && l.Service.MethodDefaults != nil {
			merged = Merge(merged, l.Service.MethodDefaults)
			written.note(l, l.Service.MethodDefaults, l.Lines, "method_defaults.")
		}
		if m := l.Methods[name]; m != nil {
			merged = Merge(merged, m)
			written.note(l, m, l.MethodLines[name], "")
		}
	}
	merged, held := Withhold(merged, r)
	return merged, written.only(merged), held
}

// note records l as the origin of every field that v sets. The keys of lines have the prefix.
func (o Origins) note(l Layer, v any, lines Lines, prefix string) {
	for path := range Fields(v) {
		o[path] = Origin{Level: l.Level, Source: l.Source, Line: lines.of(prefix + path)}
	}
}

// only drops the origins of what is not in v: replaced arms and withheld features.
func (o Origins) only(v any) Origins {
	out := make(Origins)
	for path := range Fields(v) {
		out[path] = o[path]
	}
	return out
}
