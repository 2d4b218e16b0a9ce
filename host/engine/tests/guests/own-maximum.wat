;; Asks for more than its own declared maximum and says what it was answered.
(component
  (core module $m
    (memory 1 2)
    (func (export "grow") (result i32) (memory.grow (i32.const 5))))
  (core instance $i (instantiate $m))
  (func (export "grow") (result s32) (canon lift (core func $i "grow"))))
