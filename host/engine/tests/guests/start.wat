;; A component whose start function does what stands for BODY.
(component
  (core module $m
    (memory 1)
    (func $start BODY)
    (start $start)
    (func (export "nothing")))
  (core instance $i (instantiate $m))
  (func (export "nothing") (canon lift (core func $i "nothing"))))
