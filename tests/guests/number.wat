;; Exports an interface whose one function says a number. Tests replace NUMBER to make versions apart.
(component
  (core module $m (func (export "number") (result i32) (i32.const NUMBER)))
  (core instance $i (instantiate $m))
  (func $number (result u32) (canon lift (core func $i "number")))
  (instance $numbers (export "number" (func $number)))
  (export "test:swap/numbers@1.0.0" (instance $numbers)))
