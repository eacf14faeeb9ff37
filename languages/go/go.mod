module wasocket-examples

go 1.24
