module github.com/goresilient/goresilient/test

go 1.26.0

require github.com/goresilient/goresilient v0.0.0

replace github.com/goresilient/goresilient => ../
