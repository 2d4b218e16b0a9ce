;; A component whose one function always returns the error case of its result, with its argument.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "refuse") (param i32) (result i32)
      (i32.store (i32.const 16) (i32.const 1))
      (i32.store (i32.const 20) (local.get 0))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (func (export "refuse") (param "n" u32) (result (result u32 (error u32)))
    (canon lift (core func $i "refuse") (memory $memory))))
