// Package calls measures what a client with everything on adds to a call, beside the libraries that do the same job.
package calls
