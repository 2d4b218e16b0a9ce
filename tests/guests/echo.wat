;; Exports an interface whose one function gives its argument back, plus OFFSET, and comes to harm at one argument in EVERY.
;; Tests replace the words in capitals to make versions that differ.
(component
  (core module $m
    (func (export "echo") (param i32) (result i32)
      (local $left i32)
      (if (i32.eqz (i32.rem_u (local.get 0) (i32.const EVERY))) (then HARM))
      (i32.add (local.get 0) (i32.const OFFSET))))
  (core instance $i (instantiate $m))
  (func $echo (param "n" u32) (result u32) (canon lift (core func $i "echo")))
  (instance $echoes (export "echo" (func $echo)))
  (export "test:echo/echoes@1.0.0" (instance $echoes))
  (@custom "wares:manifest" "[component]\nname = 'test:echo'\nversion = 'VERSION'\npure = PURE\n[capabilities]\nASKED\n"))
