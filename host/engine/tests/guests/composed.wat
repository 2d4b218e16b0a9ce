;; Two components in one, as composition tools make them: the second hands a text over to the first.
(component
  (component $measuring
    (core module $module
      (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 16))
      (func (export "length") (param i32 i32) (result i32) (local.get 1)))
    (core instance $instance (instantiate $module))
    (func (export "length") (param "text" string) (result u32)
      (canon lift (core func $instance "length") (memory $instance "memory") (realloc (func $instance "realloc")))))
  (instance $measuring (instantiate $measuring))
  (component $asking
    (import "length" (func $length (param "text" string) (result u32)))
    (core module $data (memory (export "memory") 1) (data (i32.const 8) "components"))
    (core instance $data (instantiate $data))
    (core func $length (canon lower (func $length) (memory $data "memory")))
    (core module $module
      (import "" "length" (func $length (param i32 i32) (result i32)))
      (func (export "ask") (result i32) (call $length (i32.const 8) (i32.const 10))))
    (core instance $instance (instantiate $module (with "" (instance (export "length" (func $length))))))
    (func (export "ask") (result u32) (canon lift (core func $instance "ask"))))
  (instance $asking (instantiate $asking (with "length" (func $measuring "length"))))
  (export "ask" (func $asking "ask")))
