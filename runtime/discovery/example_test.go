package discovery_test

import (
	"fmt"

	"github.com/goresilient/goresilient/runtime/discovery"
)

func ExampleParseEndpoints() {
	endpoints, err := discovery.ParseEndpoints("10.0.0.1:443;zone=eu-west-1b, 10.0.0.2:443 ;weight=2 ;zone=eu-west-1a")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range endpoints {
		fmt.Println(e.ID(), e.Weight, e.Zone)
	}
	fmt.Println(discovery.FormatEndpoints(endpoints))
	// Output:
	// 10.0.0.1:443 1 eu-west-1b
	// 10.0.0.2:443 2 eu-west-1a
	// 10.0.0.1:443;zone=eu-west-1b,10.0.0.2:443;weight=2;zone=eu-west-1a
}

func ExampleValidate() {
	fmt.Println(discovery.Validate("static:///db-1:443,db-2:https", nil))
	// Output:
	// target "static:///db-1:443,db-2:https": value "db-1:443,db-2:https": column 10: "db-2:https" has the port "https"; write a number from 1 to 65535
}
