package generator

// Version is the version of the plugin, as it stands in the files that it writes.
const Version = "v0.1.0"
