import DefaultTheme from 'vitepress/theme-without-fonts'

import './storm.css'

export default DefaultTheme
