;; Asks another component for a resource, which does not leave its sandbox.
(component
  (import "test:files/files@1.0.0" (instance
    (export "file" (type (sub resource)))))
  (core module $m (func (export "nothing")))
  (core instance $i (instantiate $m))
  (func (export "nothing") (canon lift (core func $i "nothing"))))
