;; Asks for an interface that no host of this kind provides.
(component
  (import "wasi:nn/tensor@0.2.0" (instance))
  (core module $m (func (export "nothing")))
  (core instance $i (instantiate $m))
  (func (export "nothing") (canon lift (core func $i "nothing"))))
