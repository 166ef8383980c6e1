package discovery

// OpenStatic is for the external test.
var OpenStatic = openStatic
