// Package schema holds the source of the policy schema, for programs that write it out.
package schema

import _ "embed"

// PolicyPath is the path under which other protos import the schema.
const PolicyPath = "goresilient/v1/policy.proto"

// Policy is the text of the schema.
//
//go:embed goresilient/v1/policy.proto
var Policy string
