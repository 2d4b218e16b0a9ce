;; Answers with the value of the key `greeting`.
(component
  (import "wasi:config/store@0.2.0-rc.1" (instance $store
    (type $failure (variant (case "upstream" string) (case "io" string)))
    (export "error" (type $error (eq $failure)))
    (export "get" (func (param "key" string) (result (result (option string) (error $error)))))))
  (core module $allocator
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $allocator (instantiate $allocator))
  (alias core export $allocator "memory" (core memory $memory))
  (core func $get (canon lower (func $store "get") (memory $memory) (realloc (core func $allocator "realloc"))))
  (core module $m
    (import "memory" "memory" (memory 1))
    (import "host" "get" (func $get (param i32 i32 i32)))
    (data (i32.const 256) "greeting")
    ;; The result's discriminant is at 16, the option's at 20, the string at 24.
    (func (export "greeting") (result i32)
      (call $get (i32.const 256) (i32.const 8) (i32.const 16))
      (if (i32.load8_u (i32.const 16)) (then unreachable))
      (i32.const 20)))
  (core instance $i (instantiate $m
    (with "memory" (instance $allocator))
    (with "host" (instance (export "get" (func $get))))))
  (func (export "greeting") (result (option string)) (canon lift (core func $i "greeting") (memory $memory))))
